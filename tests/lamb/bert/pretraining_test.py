import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import tensorflow as tf

from lamb import errors
from lamb.bert import checkpoints
from lamb.bert import flops
from lamb.bert import loss_log
from lamb.bert import machine
from lamb.bert import model
from lamb.bert import optimizers
from lamb.bert import pretraining
from lamb.bert import stages
from tests.lamb.bert import small

v1 = tf.compat.v1


@pytest.fixture(scope='module')
def records(tmp_path_factory):
  """A file of 40 examples with sequences of 16, and one with 8."""
  folder = tmp_path_factory.mktemp('records')
  return [small.write_records(folder / 'long', 40),
          small.write_records(folder / 'short', 40, length=8, predictions=2)]


def _losses(job):
  pretraining.train(job)
  return [row['loss'] for row in loss_log.read(job.model_dir)]


def _weights(job):
  reader = tf.train.load_checkpoint(checkpoints.latest(job.model_dir))
  return {name: reader.get_tensor(name)
          for name in reader.get_variable_to_shape_map()}


@pytest.fixture(scope='module')
def plain(records, tmp_path_factory):
  """A job that is not divided, trained: job, losses, weights."""
  job = small.job(tmp_path_factory.mktemp('plain'), records[:1],
                  eval_batch_size=16)
  return job, _losses(job), _weights(job)


@pytest.mark.slow
@pytest.mark.parametrize('options', [
    pytest.param({'accumulate_steps': 4}, id='accumulated'),
    pytest.param({'replicas': 2}, id='replicas'),
    pytest.param({'replicas': 2, 'accumulate_steps': 2}, id='both'),
])
def test_divided_batch_trains_like_a_whole_one(
    records, plain, tmp_path, options):
  job = small.job(tmp_path, records[:1], **options)
  _, losses, weights = plain
  np.testing.assert_allclose(_losses(job), losses, atol=3e-6)
  found = _weights(job)
  assert set(found) == set(weights)
  for name, value in weights.items():
    np.testing.assert_allclose(found[name], value, atol=2e-5, err_msg=name)


@pytest.mark.slow
def test_bfloat16_activations_train_nearly_alike(records, plain, tmp_path):
  job = small.job(tmp_path, records[:1], activation_dtype='bfloat16',
                  accumulate_steps=2)
  losses = _losses(job)
  assert losses != plain[1]
  np.testing.assert_allclose(losses, plain[1], rtol=2e-2)
  assert {value.dtype for name, value in _weights(job).items()
          if name != 'global_step'} == {np.dtype(np.float32)}


def test_replicas_run_on_their_own_devices(records, tmp_path):
  job = small.job(tmp_path, records[:1], replicas=2)
  with tf.Graph().as_default() as graph:
    pretraining._model_fn(job, job.stages[0], lambda graph: [])(
        pretraining._placeholders(job, job.stages[0], training=True), None,
        tf.estimator.ModeKeys.TRAIN, {})
    products = [each.device for each in graph.get_operations()
                if each.type == 'MatMul']
  halves = [sum(device.endswith(name) for device in products)
            for name in ('CPU:0', 'CPU:1')]
  assert halves[0] == halves[1] > 10


@pytest.mark.slow
def test_stages_follow_each_other_and_resume(records, tmp_path):
  both = (stages.Stage(8, 8, 3, 0.01, 2, max_predictions=2),
          stages.Stage(16, 4, 3, 0.005, 1))
  whole = small.job(tmp_path / 'whole', records, stages=both)
  expected = _losses(whole)
  assert len(expected) == 6
  rates = [row['learning_rate'] for row in loss_log.read(whole.model_dir)]
  np.testing.assert_allclose(
      rates, stages.learning_rate(both, np.arange(6)), atol=1e-7)
  # Stopped after its first stage, with the very same schedule.
  stopped = small.job(tmp_path / 'stopped', records, stages=both,
                      save_checkpoints_steps=2)
  pretraining._prepare_folder(stopped)
  pretraining._train_stage(stopped, 0, (records[1],))
  assert checkpoints.step_of(checkpoints.latest(stopped.model_dir)) == 3
  assert _losses(stopped) == expected
  assert _losses(stopped) == expected  # nothing is left to do
  # As if it had been killed within its second stage.
  for path in pathlib.Path(stopped.model_dir).glob('model.ckpt-6.*'):
    path.unlink()
  assert checkpoints.step_of(checkpoints.latest(stopped.model_dir)) == 5
  assert _losses(stopped) == expected


def test_each_stage_reads_the_records_of_its_length(records, tmp_path):
  job = small.job(tmp_path, records, stages=(
      stages.Stage(8, 8, 3, 0.01, max_predictions=2),
      stages.Stage(16, 4, 3, 0.005)))
  assert pretraining.stage_files(job) == [(records[1],), (records[0],)]


_KILLED = """
    import os, sys
    os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'
    sys.path.insert(0, {root!r})
    from lamb.bert import pretraining
    from tests.lamb.bert import small
    pretraining.train(small.job({folder!r}, [{records!r}], steps=14,
                                save_checkpoints_steps=3))
"""


@pytest.mark.slow
def test_kill_at_any_step_gives_the_same_curve(records, tmp_path):
  options = {'steps': 14, 'save_checkpoints_steps': 3}
  expected = _losses(small.job(tmp_path / 'whole', records[:1], **options))
  folder = tmp_path / 'killed'
  root = os.path.abspath(os.path.join(os.path.dirname(__file__), '../../..'))
  process = subprocess.Popen(
      [sys.executable, '-c', textwrap.dedent(_KILLED).format(
          root=root, folder=str(folder), records=records[0])],
      stderr=subprocess.DEVNULL)
  while len(loss_log.read(folder)) < 5 and process.poll() is None:
    time.sleep(0.02)
  process.send_signal(signal.SIGKILL)
  process.wait()
  assert 5 <= len(loss_log.read(folder)) < 14
  found = _losses(small.job(folder, records[:1], **options))
  np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_evaluation_has_berts_names(records, plain):
  job = plain[0]
  found = pretraining.evaluate(job, tuple(records[:1]))
  assert set(found) == {
      'masked_lm_accuracy', 'masked_lm_loss', 'next_sentence_accuracy',
      'next_sentence_loss', 'loss', 'global_step'}
  assert found['global_step'] == 4
  # The same whatever the batch, though 16 does not divide 40.
  other = pretraining.evaluate(
      dataclasses.replace(job, eval_batch_size=40), tuple(records[:1]))
  for name in set(found) - {'loss'}:
    assert abs(found[name] - other[name]) < 1e-5
  folder = pathlib.Path(job.model_dir)
  text = (folder / 'eval_results.txt').read_text()
  assert 'masked_lm_accuracy = ' in text
  assert json.loads((folder / 'eval_metrics.json').read_text()) == other


@pytest.mark.slow
@pytest.mark.parametrize('name', ['adamw', 'lars'])
def test_other_optimizers_train(records, tmp_path, name):
  losses = _losses(small.job(
      tmp_path, records[:1], steps=12,
      optimizer=optimizers.OptimizerConfig(name)))
  assert losses[-1] < losses[0]


def test_training_starts_from_a_checkpoint(records, plain, tmp_path):
  first, lines = plain[0], []
  second = small.job(
      tmp_path / 'second', records[:1], report=lines.append,
      stages=(stages.Stage(16, 8, 1, 0.0),), init_checkpoint=first.model_dir)
  pretraining.train(second)
  assert any('Starting 30 of 30 weights' in line for line in lines)
  before, after = _weights(first), _weights(second)
  for name in model.pretraining_shapes(small.JOB_CONFIG):
    np.testing.assert_array_equal(before[name], after[name])
  assert after['global_step'] == 1


def test_checkpoint_of_another_size_is_refused(records, plain, tmp_path):
  first = plain[0]
  wide = dataclasses.replace(small.JOB_CONFIG, hidden_size=16)
  for options in ({'init_checkpoint': first.model_dir}, {}):
    folder = tmp_path / 'other' if options else first.model_dir
    with pytest.raises(errors.InputError, match=(
        r'word_embeddings is \[50, 8\] there and \[50, 16\] here')):
      pretraining.train(small.job(
          folder, records[:1], config=wide, **options))


def test_other_optimizer_does_not_go_on(records, plain):
  with pytest.raises(errors.InputError, match='trained by lamb, got optimizer'):
    pretraining.train(dataclasses.replace(
        plain[0], optimizer=optimizers.OptimizerConfig('adamw')))


def test_damaged_record_is_told(records, tmp_path):
  data = bytearray(pathlib.Path(records[0]).read_bytes())
  data[-9] ^= 1
  (tmp_path / 'bad').write_bytes(bytes(data))
  with pytest.raises(errors.InputError, match='bad: damaged at byte'):
    pretraining.train(small.job(
        tmp_path / 'job', [str(tmp_path / 'bad')], batch=40))


def test_records_of_a_larger_vocabulary_are_told(tmp_path):
  path = small.write_records(tmp_path / 'large', 40, vocab_size=500)
  with pytest.raises(errors.InputError, match='expected one below 50: records'):
    pretraining.train(small.job(tmp_path / 'job', [path]))


@pytest.mark.parametrize('path, message', [
    ('nowhere', 'no checkpoint at'), ('.', 'no checkpoint at')])
def test_missing_checkpoint_is_told(records, tmp_path, path, message):
  with pytest.raises(errors.InputError, match=message):
    pretraining.train(small.job(
        tmp_path / 'job', records[:1],
        init_checkpoint=str(tmp_path / path)))


def test_evaluation_without_a_checkpoint_is_refused(records, tmp_path):
  with pytest.raises(errors.InputError, match='no checkpoint, expected'):
    pretraining.evaluate(small.job(tmp_path, records[:1]), tuple(records[:1]))


def test_evaluation_that_a_tpu_cannot_divide_is_refused(tmp_path):
  job = dataclasses.replace(small.job(tmp_path, []), machine=machine.Machine(
      use_tpu=True, tpu_cores=4), eval_batch_size=6)
  with pytest.raises(errors.InputError, match='multiple of the 4 cores'):
    pretraining.evaluate(job, ('unread',))


def test_divergence_is_told(records, tmp_path):
  with pytest.raises(machine.DivergedError, match='the loss became NaN'):
    pretraining.train(small.job(
        tmp_path, records[:1], steps=30,
        stages=(stages.Stage(16, 8, 30, 1e30),)))


def test_gradient_is_clipped_by_its_global_norm(records, tmp_path):
  # A first step of LARS's momentum is a tenth of the gradient.
  job = small.job(tmp_path, records[:1], steps=1,
                  optimizer=optimizers.OptimizerConfig(
                      'lars', clip_norm=1e-3, weight_decay=0.0))
  pretraining.train(job)
  total = sum(np.sum(value.astype(np.float64) ** 2)
              for name, value in _weights(job).items()
              if name.endswith('/momentum'))
  assert abs(total ** 0.5 / 1e-4 - 1) < 1e-3
  assert loss_log.read(tmp_path)[0]['gradient_norm'] > 0.1


@pytest.mark.parametrize('options, message', [
    pytest.param({'batch': 6, 'accumulate_steps': 4},
                 'a batch of 6 cannot be divided into 1 replicas x 4',
                 id='accumulation'),
    pytest.param({'batch': 3, 'replicas': 2}, 'expected a multiple of 2',
                 id='replicas'),
    pytest.param({'stages': (stages.Stage(99, 8, 1, 0.1),)},
                 'max_position_embeddings=16', id='sequence'),
    pytest.param({'stages': ()}, 'stages: got none', id='no_stage'),
    pytest.param({'save_checkpoints_steps': 0}, 'save_checkpoints_steps: got',
                 id='saving'),
    pytest.param({'seed': -1}, 'seed: got -1, expected a whole number from 0',
                 id='seed'),
    pytest.param({'max_eval_steps': -3}, 'max_eval_steps: got -3',
                 id='evaluation'),
    pytest.param({'activation_dtype': 'half'},
                 "activation_dtype: got 'half', expected one of float32",
                 id='activations'),
])
def test_job_that_cannot_be_is_refused(tmp_path, options, message):
  with pytest.raises(errors.InputError, match=message):
    small.job(tmp_path, [], **options)


def test_dry_run_builds_every_stage_and_writes_nothing(tmp_path):
  lines = []
  job = small.job(
      tmp_path / 'job', [], report=lines.append, accumulate_steps=2, stages=(
          stages.Stage(8, 8, 3, 0.01), stages.Stage(16, 4, 2, 0.01)))
  found = pretraining.dry_run(job)
  assert found['parameters'] == sum(
      np.prod(shape) for shape in model.pretraining_shapes(
          small.JOB_CONFIG).values())
  assert found['flops'] == 24 * flops.training_flops(
      small.JOB_CONFIG, 8, 2) + 8 * flops.training_flops(
          small.JOB_CONFIG, 16, 3)
  assert [line.split(':')[0] for line in lines] == [
      'Stage 8x8x3', 'Stage 16x4x2']
  assert not (tmp_path / 'job').exists()


def test_tpu_graph_sums_over_cores_before_it_clips(tmp_path):
  job = dataclasses.replace(
      small.job(tmp_path, []), machine=machine.Machine(
          use_tpu=True, tpu_cores=4))
  with tf.Graph().as_default() as graph:
    pretraining._model_fn(job, job.stages[0], lambda graph: [])(
        pretraining._placeholders(job, job.stages[0], training=True), None,
        tf.estimator.ModeKeys.TRAIN, {})
  sums = [each for each in graph.get_operations()
          if each.type == 'CrossReplicaSum']
  # Every gradient, both losses, and what the masked-LM loss is divided by.
  assert len(sums) == len(model.pretraining_shapes(small.JOB_CONFIG)) + 3
  norm_inputs = [each.inputs[0].op.type for each in graph.get_operations()
                 if each.type == 'L2Loss' and 'global_norm' in each.name]
  assert set(norm_inputs) == {'CrossReplicaSum'}


def test_cost_of_bert_tiny_is_the_known_one():
  tiny = dataclasses.replace(
      small.CONFIG, vocab_size=30522, hidden_size=128, intermediate_size=512,
      max_position_embeddings=512)
  assert abs(flops.training_flops(tiny, 128, 20) / 0.8e9 - 1) < 0.05
