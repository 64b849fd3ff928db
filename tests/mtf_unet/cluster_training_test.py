"""Workers on loopback train as one process does."""

import _thread
import glob
import signal
import threading
import time

import numpy as np
import pytest
import tensorflow as tf

from mtf_unet import checkpoints
from mtf_unet import cluster as cluster_lib
from mtf_unet import cluster_session
from mtf_unet import cluster_training
from mtf_unet import training
from tests.mtf_unet import jobs
from tests.mtf_unet import workers

_STEPS = 3
_CONFIG = jobs.config(mesh={'spatial_split': (2, 1, 1)},
                      training={'steps': _STEPS})


def _connect(cluster):
  return cluster_session.Cluster(cluster_lib.parse(cluster),
                                 report=lambda line: None)


@pytest.fixture(scope='module', name='pair')
def _pair():
  """Two workers and the connection to them."""
  with workers.running(2) as (cluster, _):
    yield _connect(cluster)


def _train(where, folder, config=_CONFIG, validation=None):
  lines = []
  job = cluster_training.ClusterJob(config, str(folder), cluster=where,
                                    report=lines.append)
  where.run(lambda: training.train(job, jobs.cases(3, config), validation))
  return lines


def _losses(folder):
  return {step: tf.make_ndarray(value.tensor).item()
          if value.HasField('tensor') else value.simple_value
          for step, tag, value in jobs.events(folder) if tag == 'loss'}


def _assert_same_training(folder, other):
  came, expected = [jobs.weights(path / f'model.ckpt-{_STEPS}')
                    for path in (folder, other)]
  assert came.keys() == expected.keys()
  for name, value in expected.items():
    np.testing.assert_allclose(came[name], value, atol=1e-5, err_msg=name)
  assert set(_losses(other)) == set(range(1, _STEPS + 1))
  assert _losses(folder) == pytest.approx(_losses(other), rel=1e-5)


@pytest.fixture(scope='module', name='together')
def _together(pair, tmp_path_factory):
  """A training on two workers."""
  folder = tmp_path_factory.mktemp('together')
  _train(pair, folder)
  return folder


def test_two_workers_train_as_one_process_does(together, tmp_path):
  jobs.train(tmp_path, _CONFIG)
  _assert_same_training(together, tmp_path)


def _traced(folder):
  """The finished graph, which the training wrote into its event file."""
  (path,) = glob.glob(f'{folder}/events.out.*')
  *_, graph = [event.graph_def for event in
               tf.compat.v1.train.summary_iterator(path) if event.graph_def]
  return tf.compat.v1.GraphDef.FromString(graph)


def test_every_block_is_fed_on_the_device_of_its_worker(together):
  nodes = {node.name: node for node in _traced(together).node}
  for name in ('image', 'label'):
    tasks = [tf.DeviceSpec.from_string(nodes[f'{name}_{i}'].device).task
             for i in range(2)]
    assert tasks == [0, 1]


def test_files_and_first_values_alone_are_the_client_s_work(together):
  nodes = [node for node in _traced(together).node
           if '/job:worker' not in node.device]
  assert {'SaveV2', 'RestoreV2'} <= {node.op for node in nodes}
  assert [node.name for node in nodes if not (
      node.name.startswith('save/') or '/Initializer/' in node.name
      # Lies where its variable does.
      or node.op == 'ReadVariableOp')] == []


def test_weights_lie_once_in_each_worker(together):
  variables = [node for node in _traced(together).node
               if node.op == 'VarHandleOp' and 'head/kernel' in node.name
               and 'adam' not in node.name and 'ema' not in node.name]
  tasks = sorted(tf.DeviceSpec.from_string(node.device).task
                 for node in variables)
  assert tasks == [0, 1]


def test_the_cluster_predicts_as_one_process_does(together, pair):
  checkpoint = checkpoints.latest(str(together))
  image = jobs.cases(1, _CONFIG, seed=7)[0].image
  results = []

  def predict(job):
    predictor = job.predictor(_CONFIG.data.size)
    predictor.restore(checkpoint)
    results.append(predictor.probabilities(image))
    predictor.close()
  predict(training.Job(_CONFIG, ''))
  pair.run(lambda: predict(
      cluster_training.ClusterJob(_CONFIG, '', cluster=pair)))
  np.testing.assert_allclose(results[1], results[0], atol=1e-5)


@pytest.mark.slow
def test_a_cluster_starts_warm_and_is_scored(together, pair, tmp_path):
  config = jobs.config(
      data={'num_classes': 5},
      loss={'dice_classes': (1, 2), 'class_weights': ()},
      training={'steps': 1, 'warm_start': str(together)})
  lines = _train(pair, tmp_path, config, jobs.cases(1, config))
  assert lines[0].endswith('; new: head/kernel, head/bias')
  assert lines[1].startswith('Step 1: mean validation Dice')
  start = jobs.weights(tmp_path / 'model.ckpt-0')
  source = jobs.weights(together / f'model.ckpt-{_STEPS}')
  name = 'encoder_1_0/kernel'
  np.testing.assert_array_equal(start[name], source[f'ema/{name}'])


def test_what_a_job_raises_reaches_the_caller(pair):
  def fail():
    raise KeyError('out of luck')
  with pytest.raises(KeyError, match='out of luck'):
    pair.run(fail)


@pytest.fixture(name='ctrl_c_raises')
def _ctrl_c_raises():
  """A shell that runs tests in the background may have it ignored."""
  before = signal.signal(signal.SIGINT, signal.default_int_handler)
  yield
  signal.signal(signal.SIGINT, before)


def test_on_ctrl_c_the_job_has_ended_before_the_caller_goes_on(
    pair, ctrl_c_raises):
  ended = []
  def job():
    try:
      _thread.interrupt_main()
      while True:
        time.sleep(0.01)
    finally:
      ended.append(True)
  with pytest.raises(KeyboardInterrupt):
    pair.run(job)
  assert ended == [True]


def test_a_second_ctrl_c_does_not_wait_for_the_job(pair, ctrl_c_raises):
  goes_on = threading.Event()
  def job():
    try:
      _thread.interrupt_main()
      while True:
        time.sleep(0.01)
    except KeyboardInterrupt:
      _thread.interrupt_main()
      goes_on.wait()
  with pytest.raises(KeyboardInterrupt):
    pair.run(job)
  goes_on.set()


@pytest.mark.slow
def test_four_workers_of_two_devices_train_as_one_process_does(tmp_path):
  config = jobs.config(mesh={'spatial_split': (2, 2, 2)},
                       training={'steps': _STEPS})
  jobs.train(tmp_path / 'alone', config)
  with workers.running(4, '--cpu_devices=2') as (cluster, _):
    _train(_connect(cluster), tmp_path / 'together', config)
  _assert_same_training(tmp_path / 'together', tmp_path / 'alone')
