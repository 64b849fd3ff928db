"""What a plan says: sizes, verdicts, and a line for each layer."""

import pytest

from mtf_unet import config as config_lib
from mtf_unet import memory_planner
from mtf_unet import plan_table
from mtf_unet import split_search
from mtf_unet import step_cost


@pytest.fixture(name='planned', scope='module')
def _planned():
  """A config cut along x, its plan and its cost."""
  config = config_lib.from_mapping({
      'data': {'size': (32, 16, 16)}, 'network': {'base_filters': 4},
      'mesh': {'spatial_split': (2, 1, 1)}, 'training': {'batch_size': 1}})
  partition = split_search.partition_of(config)
  return (config, memory_planner.plan(config, partition),
          step_cost.cost(config, partition))


@pytest.mark.parametrize('count, text', [
    (0, '0 B'), (1023, '1023 B'), (1024, '1 KiB'), (3 * 2 ** 29, '1.5 GiB'),
    (2 ** 42, '4 TiB')])
def test_sizes_have_three_digits_and_a_unit(count, text):
  assert plan_table.size(count) == text


@pytest.mark.parametrize('share, words', [(1.0, 'fits'),
                                          (0.99, 'does NOT fit')])
def test_a_plan_fits_up_to_the_last_byte(planned, share, words):
  _, plan, _ = planned
  gib = share * plan.device / memory_planner.GIB
  assert plan_table.verdict(plan, gib).startswith(f'The step {words}: ')


def test_the_summary_tells_of_tensors_and_of_a_process(planned):
  text = plan_table.summary(*planned)
  _, plan, _ = planned
  assert 'space in 2x1x1' in text
  assert f'| **memory at the peak** | **{plan_table.size(plan.device)}** |' in (
      text)
  process = plan_table.size(memory_planner.process_bytes(plan))
  assert f'blocks (2) would take about {process} above idle' in text
  assert 'The step' not in text


def test_each_layer_has_a_line_and_so_has_their_sum(planned):
  _, plan, cost = planned
  lines = plan_table.layers(plan, cost).splitlines()
  assert len(lines) == 2 + len(plan.layers) + 1
  assert lines[2].startswith('| encoder_0_0 | 1x16x16x16x4 | 116 | ')
  assert lines[-1].startswith(f'| **sum** |  | {plan.total("parameters")} | ')


def test_the_numbers_for_machines_are_those_of_the_plan(planned):
  _, plan, cost = planned
  content = plan_table.as_json(plan, cost)
  assert content['device_bytes'] == plan.device
  assert content['flop'] == cost.flop
  assert content['process_bytes'] == memory_planner.process_bytes(plan)
  assert len(content['layers']) == len(plan.layers)
