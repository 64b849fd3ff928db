"""A worker that is lost: the job names it, and resumes once it is back."""

import dataclasses
import os
import re
import signal

import numpy as np
import pytest
import tensorflow as tf

from mtf_unet import checkpoints
from mtf_unet import cluster as cluster_lib
from mtf_unet import cluster_session
from mtf_unet import cluster_training
from mtf_unet import errors
from mtf_unet import free_ports
from mtf_unet import training
from tests.mtf_unet import jobs
from tests.mtf_unet import workers

pytestmark = [pytest.mark.slow, workers.BY_HAND_IN_CI]

# Something happens between the first checkpoint and the second.
_STEPS, _SAVED, _DISTURBED = 12, 4, 6
_CONFIG = jobs.config(mesh={'spatial_split': (2, 1, 1)}, training={
    'steps': _STEPS, 'save_every_steps': _SAVED})


class _InStep(tf.estimator.SessionRunHook):
  """Has a step of the training call a function, on the client's device."""

  def __init__(self, step, function):
    self._left, self._function = step, function

  def begin(self):
    def call():
      self._function()
      return np.int64(0)
    with tf.device(cluster_session.CLIENT_DEVICE):
      self._call = tf.numpy_function(call, [], tf.int64)

  def before_run(self, run_context):
    self._left -= 1
    return None if self._left else tf.compat.v1.train.SessionRunArgs(self._call)


@dataclasses.dataclass(frozen=True)
class _DisturbedJob(cluster_training.ClusterJob):
  """A job in one step of which something happens."""
  happens: _InStep = dataclasses.field(kw_only=True)

  def fit(self, source, validation, show, hooks=()):
    super().fit(source, validation, show, [*hooks, self.happens])


def _train(cluster, folder, happens=lambda: None, **keywords):
  where = cluster_session.Cluster(cluster_lib.parse(cluster),
                                  report=lambda line: None, **keywords)
  lines = []
  job = _DisturbedJob(_CONFIG, str(folder), cluster=where, report=lines.append,
                      happens=_InStep(_DISTURBED, happens))
  where.run(lambda: training.train(job, jobs.cases(3, _CONFIG)))
  return lines


def _name(cluster, task):
  return f'{cluster.split(",")[task]} (task {task})'


@pytest.fixture(scope='module', name='straight')
def _straight(tmp_path_factory):
  """The weights at the end of a training that nothing stops."""
  folder = tmp_path_factory.mktemp('straight')
  jobs.train(folder, _CONFIG)
  return jobs.weights(folder / f'model.ckpt-{_STEPS}')


# Task 0 holds the master weights.
@pytest.mark.parametrize('task', [0, 1])
def test_a_killed_worker_is_named_and_the_job_resumes(tmp_path, straight, task):
  with workers.running(2) as (cluster, processes):
    with pytest.raises(errors.InputError) as told:
      _train(cluster, tmp_path, processes[task].kill)
    assert f'worker {_name(cluster, task)} does not listen any more' in str(
        told.value)
    assert 'the same command resumes from the last checkpoint' in str(
        told.value)
    reached = checkpoints.step_of(checkpoints.latest(str(tmp_path)))
    assert reached == _SAVED
    workers.stop([processes[task]])
    processes[task] = workers.start(cluster, task)
    workers.wait_until_it_listens(processes[task])
    lines = _train(cluster, tmp_path)
  assert lines == [f'Resuming from step {reached} of {_STEPS} ({tmp_path})']
  ended = jobs.weights(tmp_path / f'model.ckpt-{_STEPS}')
  for name, value in straight.items():
    np.testing.assert_allclose(ended[name], value, atol=1e-5, err_msg=name)


def test_a_worker_that_falls_silent_is_named_in_time(tmp_path):
  with (workers.running(2) as (cluster, processes),
        pytest.raises(errors.InputError, match=re.escape(
            f'worker {_name(cluster, 1)} has not answered for 15 s'))):
    # As when its machine is gone: connections stay, nothing comes. The other
    # worker answers within that time on a crowded machine too.
    _train(cluster, tmp_path, silence_s=15.0,
           happens=lambda: os.kill(processes[1].pid, signal.SIGSTOP))


def test_a_second_job_takes_over_and_the_first_one_says_so(tmp_path):
  with workers.running(2) as (cluster, _):
    def second():
      with tf.Graph().as_default():
        value = tf.constant(1.0)
      where = cluster_session.Cluster(cluster_lib.parse(cluster))
      # Another process in truth; this one's server only needs to be another.
      tf.compat.v1.Session(where.target, graph=value.graph,
                           config=where.session_config).run(value)
    with pytest.raises(errors.InputError, match='have begun another job'):
      _train(cluster, tmp_path, second)


def test_a_worker_that_is_not_there_is_named():
  with (free_ports.held(1) as (port,),
        pytest.raises(errors.InputError, match=re.escape(
            f'no worker at 127.0.0.1:{port} (task 0), expected'))):
    _train(f'127.0.0.1:{port}', None, wait_s=1.5)
