import dataclasses

import pytest

from lamb.bert import flops
from lamb.bert import step_benchmark
from tests.lamb.bert import small


@pytest.mark.parametrize('options', [
    {}, {'activation_dtype': 'bfloat16', 'accumulate_steps': 2}])
def test_step_is_timed_and_its_products_are_counted(options):
  found = step_benchmark.measure(
      small.JOB_CONFIG, sequence_length=16, batch_size=4, steps=2, threads=1,
      **options)
  assert min(dataclasses.astuple(found)) > 0
  assert found.examples_per_second == pytest.approx(4 / found.seconds)
  products = 4 * flops.training_flops(small.JOB_CONFIG, 16, 3) / 1e9
  assert found.gflop_per_second == pytest.approx(products / found.seconds)
