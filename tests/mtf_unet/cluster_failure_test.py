"""A worker that is lost: the job names it, and resumes once it is back."""

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
from mtf_unet import training
from tests.mtf_unet import jobs
from tests.mtf_unet import workers

pytestmark = [pytest.mark.slow, pytest.mark.skipif(
    'CI' in os.environ, reason='ends processes in mid-step, which depends on '
    'timing; run it by hand')]

_STEPS = 12
_CONFIG = jobs.config(mesh={'spatial_split': (2, 1, 1)},
                      training={'steps': _STEPS, 'save_every_steps': 4})


class _Cases(list):
  """Cases of which the k-th that is read makes something happen."""

  def __init__(self, cases, when, happens):
    super().__init__(cases)
    self._left, self._happens = when, happens

  def __getitem__(self, index):
    self._left -= 1
    if self._left == 0:
      self._happens()
    return super().__getitem__(index)


def _train(cluster, folder, when=0, happens=None, **keywords):
  where = cluster_session.Cluster(cluster_lib.parse(cluster),
                                  report=lambda line: None, **keywords)
  lines = []
  job = cluster_training.ClusterJob(_CONFIG, str(folder), cluster=where,
                                    report=lines.append)
  cases = _Cases(jobs.cases(3, _CONFIG), when, happens)
  where.run(lambda: training.train(job, cases))
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
      # The pipeline reads while an earlier step runs.
      _train(cluster, tmp_path, when=24, happens=processes[task].kill)
    assert f'worker {_name(cluster, task)} does not listen any more' in str(
        told.value)
    assert 'the same command resumes from the last checkpoint' in str(
        told.value)
    reached = checkpoints.step_of(checkpoints.latest(str(tmp_path)))
    assert 0 < reached < _STEPS
    processes[task].wait()
    processes[task] = workers.start(cluster, task)
    lines = _train(cluster, tmp_path)
  assert lines == [f'Resuming from step {reached} of {_STEPS} ({tmp_path})']
  ended = jobs.weights(tmp_path / f'model.ckpt-{_STEPS}')
  for name, value in straight.items():
    np.testing.assert_allclose(ended[name], value, atol=1e-5, err_msg=name)


def test_a_worker_that_falls_silent_is_named_in_time(tmp_path):
  with (workers.running(2) as (cluster, processes),
        pytest.raises(errors.InputError, match=re.escape(
            f'worker {_name(cluster, 1)} has not answered for 10 s'))):
    # As when its machine is gone: connections stay, nothing comes.
    _train(cluster, tmp_path, when=24, silence_s=10.0,
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
      _train(cluster, tmp_path, when=24, happens=second)


def test_a_worker_that_is_not_there_is_named():
  (port,) = workers.free_ports(1)
  with pytest.raises(errors.InputError, match=re.escape(
      f'no worker at 127.0.0.1:{port} (task 0), expected')):
    _train(f'127.0.0.1:{port}', None, wait_s=1.5)
