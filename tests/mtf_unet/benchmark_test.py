"""The benchmark: one loss in all frameworks, honest medians, one table."""

import importlib.util
import json
import math
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from mtf_unet import config as config_lib
from mtf_unet import errors
from mtf_unet.benchmark import keras_step
from mtf_unet.benchmark import measurement
from mtf_unet.benchmark import problem as problem_lib
from mtf_unet.benchmark import rounds as rounds_lib
from mtf_unet.benchmark import table as table_lib
from mtf_unet.benchmark import variants as variants_lib
from tests import script_server

SCRIPT = (pathlib.Path(__file__).parents[2] / 'scripts' / 'mtf_unet'
          / 'benchmark.py')
HAS_TORCH = importlib.util.find_spec('torch') is not None


def _loss_by_hand(logits, labels, config):
  """The formula of mtf_unet.losses for a batch of one, in float64."""
  p = np.exp(logits.astype(np.float64))
  p /= p.sum(-1, keepdims=True)
  truth = np.eye(3)[labels]
  weights = np.array(config.class_weights or (1.0, 1.0, 1.0))
  entropy = -(weights * truth * np.log(p)).sum(-1).mean()
  dice = [(2 * (p * truth)[..., c].sum() + config.dice_epsilon)
          / (p[..., c].sum() + truth[..., c].sum() + config.dice_epsilon)
          for c in config.dice_classes]
  return (config.dice_weight * (1 - np.mean(dice or [0.0]))
          + (1 - config.dice_weight) * entropy)


def _report(seconds, mib):
  return {'mode': 'm', 'seconds': seconds, 'cpu_seconds': seconds,
          'peak_mib': mib}


def _rounds(**changes):
  reports = {variant.name: _report([1.0, 1.0, 9.0], 100.0)
             for variant in variants_lib.ALL}
  return [reports | changes]


@pytest.mark.parametrize('config', [
    config_lib.LossConfig(),
    config_lib.LossConfig(dice_classes=(1, 2), class_weights=()),
    config_lib.LossConfig(dice_classes=()),
], ids=['reference', 'two dice classes', 'entropy only'])
@pytest.mark.parametrize('framework', ['keras', pytest.param(
    'torch', marks=pytest.mark.skipif(not HAS_TORCH, reason='no torch'))])
def test_baseline_loss_equals_the_formula(framework, config):
  random = np.random.default_rng(1)
  logits = random.standard_normal((1, 4, 4, 4, 3), dtype=np.float32)
  labels = random.integers(3, size=(1, 4, 4, 4))
  if framework == 'keras':
    value = keras_step.loss(tf.constant(logits), tf.constant(labels), config)
  else:
    torch = importlib.import_module('torch')
    step = importlib.import_module('mtf_unet.benchmark.torch_step')
    value = step.loss(torch.from_numpy(np.moveaxis(logits, -1, 1).copy()),
                      torch.from_numpy(labels), config)
  assert float(value) == pytest.approx(_loss_by_hand(logits, labels, config),
                                       rel=1e-5)


def test_keras_adafactor_survives_channels_without_gradient():
  weights = tf.Variable(tf.ones([2, 2]))
  optimizer = keras_step.adafactor(0.01)
  optimizer.apply_gradients([(tf.constant([[0.0, 0.0], [0.0, 1.0]]), weights)])
  assert np.isfinite(weights.numpy()).all()


def test_step_with_a_nan_loss_is_refused():
  step = problem_lib.Step(lambda: math.nan, 1, 'none')
  with pytest.raises(ArithmeticError, match='the loss is nan'):
    measurement.measure(lambda: step, 1)


def test_peak_memory_forgets_what_came_before():
  held = np.ones(2 ** 25, np.float32)
  del held
  measurement.forget_peak()
  before = measurement.peak_resident_mib()
  held = np.ones(2 ** 24, np.float32)
  grown = measurement.peak_resident_mib() - before
  assert held.nbytes == 64 * 2 ** 20
  assert 60 < grown < 80


def test_row_takes_the_median_of_ratios_within_rounds():
  rounds = (_rounds(Keras=_report([2.0], 50.0))
            + _rounds(Keras=_report([4.0], 50.0))
            + _rounds(Keras=_report([0.1], 50.0)))
  row = table_lib.rows(rounds)[0]
  assert row.seconds == 1.0
  assert row.ratios == {'time / Keras': 0.5, 'time / PyTorch': 1.0,
                        'memory / Keras': 2.0}
  assert row.verdicts() == ['time / Keras <= 1: met',
                            'time / PyTorch <= 0.75: missed',
                            'memory / Keras <= 1.3: missed']


def test_row_without_pytorch_says_so():
  rounds = _rounds(PyTorch={'mode': 'm', 'note': 'torch is not installed'})
  table = table_lib.rows(rounds)
  assert table_lib.keras_to_torch(table) == ''
  assert 'torch is not installed' in table_lib.markdown(table)
  assert 'time / PyTorch' not in table[0].ratios


@pytest.mark.parametrize('seconds, words', [(0.7, ', near'), (1.2, 'NOT near')])
def test_unusual_keras_to_pytorch_ratio_is_told(seconds, words):
  table = table_lib.rows(_rounds(Keras=_report([seconds], 100.0)))
  assert words in table_lib.keras_to_torch(table)


@pytest.mark.parametrize('program, words', [
    ('import sys; sys.exit("out of luck")', 'exit status 1: out of luck'),
    ('import time; time.sleep(60)', 'not done after 1 s'),
], ids=['fails', 'hangs'])
def test_failing_process_becomes_a_note(program, words):
  report = rounds_lib.run_child([sys.executable, '-c', program], 1.0)
  assert words in report['note']


def test_fastest_mode_is_kept():
  def command(name, mode, steps):
    del name, steps
    seconds = 1.0 if mode in ('XLA', 'eager') else 2.0
    report = json.dumps({'seconds': [seconds]})
    return [sys.executable, '-c', f'print({report!r})']
  modes = rounds_lib.fastest_modes(command, 60.0, lambda line: None)
  assert modes['Keras'] == 'XLA'
  assert modes.get('PyTorch') == ('eager' if HAS_TORCH else None)


def test_size_that_the_mesh_does_not_divide_is_refused():
  with pytest.raises(errors.InputError, match='nearest that works: 16 or 32'):
    problem_lib.Problem(size=24).check_split((2, 2, 2))


@pytest.mark.slow
def test_script_writes_every_row(tmp_path):
  done = subprocess.run(
      [sys.executable, str(SCRIPT), '--base=4', '--size=16', '--steps=2',
       '--notrials', f'--output={tmp_path}'],
      capture_output=True, text=True, check=False)
  assert done.returncode == 0, done.stderr
  content = json.loads((tmp_path / 'benchmark.json').read_text())
  rows = {row['variant']: row for row in content['rows']}
  assert list(rows) == [variant.name for variant in variants_lib.ALL]
  table = (tmp_path / 'benchmark.md').read_text()
  assert table.strip() in done.stdout
  for name, row in rows.items():
    assert f'| {name} ' in table
    if name == 'PyTorch' and not HAS_TORCH:
      assert row['note'] == 'torch is not installed'
    else:
      assert row['seconds'] > 0 and math.isfinite(row['peak_mib'])
  # The same network in all: as many weights.
  assert len({report['parameters'] for report in content['rounds'][0].values()
              if 'parameters' in report}) == 1


@pytest.mark.parametrize('flags, words', [
    (['--variant=JAX'], "variant: got 'JAX', expected one of"),
    (['--profile'], '--profile needs --variant'),
    (['--mode=XLA'], '--mode needs --variant'),
    (['--deep_supervision=1'], '--deep_supervision needs --variant'),
], ids=lambda value: value[0] if isinstance(value, list) else '')
def test_script_tells_wrong_flags_in_one_line(flags, words):
  done = script_server.run(SCRIPT, *flags)
  assert done.returncode == 1
  assert done.stderr.startswith(f'error: {words}')
  assert done.stderr.count('\n') == 1
