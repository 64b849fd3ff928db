"""The whole job of TPUEstimator on the simulator, from file to event file.

Two hosts hand blocks to sixteen cores, which repeat the step in their loop and
send curves out. What comes is compared with one device of this process that is
given the whole batches.
"""

import dataclasses
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from mtf_unet import block_files
from mtf_unet import config as config_lib
from mtf_unet import layout
from mtf_unet import model
from mtf_unet import optimizers
from mtf_unet import progress
from mtf_unet import summaries
from mtf_unet import tpu_job
from mtf_unet import tpu_system
from tests.mtf_unet import jobs
from tests.mtf_unet import lowered
from tests.mtf_unet import simd_simulator

_STEPS = 3
_CONFIG = jobs.config(
    data={'size': (8, 4, 4), 'augmentation': {}},
    mesh={'spatial_split': (2, 2, 2), 'batch_split': 2},
    network={'levels': 1, 'convolutions_per_level': 1, 'dropout_keep': 1.0},
    optimizer={'schedule': 'polynomial', 'warmup_steps': 0, 'clip_norm': 0.0},
    training={'batch_size': 4, 'steps': 100, 'iterations_per_loop': _STEPS,
              'save_every_steps': 50, 'ema_decay': 0.0})
_ONE = dataclasses.replace(_CONFIG, mesh=config_lib.MeshConfig())


def _files(folder, config):
  partition = layout.partition(config.mesh)
  block_files.write(jobs.cases(5, config), config, partition, folder)
  return block_files.open_folder(str(folder), config, partition)


class _Stop(tf.estimator.SessionRunHook):

  def begin(self):
    raise InterruptedError


def _built(job, monkeypatch):
  """Builds the job; returns its graph and lowering."""
  found = []

  def hook(lowering):
    graph = tf.compat.v1.get_default_graph()
    graph.copy_masters = lowering.copy_masters_to_slices()
    graph.copy_slices = lowering.copy_slices_to_masters()
    found.append((graph, lowering))
    return tf.estimator.SessionRunHook()
  monkeypatch.setattr(tpu_job.mtf, 'MtfRestoreHook', hook)
  with pytest.raises(InterruptedError):
    job.fit([], None, progress.ProgressHook(_STEPS, 4), hooks=[_Stop()])
  # Left half written by the Estimator that was stopped.
  for path in pathlib.Path(job.model_dir).glob('events*'):
    path.unlink()
  return found[0]


def _operations(graph, *kinds):
  return [op for op in graph.get_operations() if op.type in kinds]


def _set(simulator, variable, value):
  initializer = variable.initializer
  simulator.run([initializer], {initializer.inputs[1]: value})


def _train(graph, lowering, weights, model_dir):
  """Runs one loop of the job; returns the last loss and the variables."""
  with graph.as_default():
    initialize = tf.compat.v1.global_variables_initializer()
  simulator = simd_simulator.Simulator(graph)
  simulator.run([initialize])
  variables = lowering.graph.all_variables
  for variable in variables:
    if variable.name in weights:
      _set(simulator, variable.get_master(), weights[variable.name])
  iterations, = graph.get_collection('tpu_estimator_iterations_per_loop')
  _set(simulator, iterations, _STEPS)
  simulator.run([graph.copy_masters])
  simulator.run(_operations(graph, 'MakeIterator', 'CreateSummaryFileWriter'))
  loss, = graph.get_collection(tf.compat.v1.GraphKeys.LOSSES)
  # Input and cores wait for each other, so they run together.
  enqueue = [op if isinstance(op, tf.Operation) else op.op
             for op in tf.nest.flatten(graph.get_collection(
                 '_tpu_enqueue_ops'))]
  (came, *_) = simulator.run([loss, *enqueue])
  for _ in range(_STEPS):
    simulator.run(_operations(graph, 'WriteScalarSummary',
                              'WriteImageSummary'))
  simulator.run(_operations(graph, 'FlushSummaryWriter'))
  simulator.run([graph.copy_slices])
  masters = [v.get_master().op.name for v in variables]
  values = dict(zip(masters, simulator.read(masters)))
  step, = simulator.read(['global_step'])
  simulator.close()
  assert step == _STEPS
  return came, values, jobs.events(model_dir)


def _alone(files, weights):
  """The same steps on one device: losses, variables, the last batch."""
  with tf.Graph().as_default():
    batch = tf.compat.v1.data.make_one_shot_iterator(
        files.host_dataset([0], start_step=0)).get_next()
    graph = model.training_graph(
        _ONE, layout.partition(_ONE.mesh), [batch['image']], [batch['label']],
        optimizers.BUILT_IN)
    picture = summaries.picture(batch['image'][0, :, :, 2],
                                batch['label'][0, :, :, 2],
                                graph.predictions[0][0, :, :, 2])
    with tf.compat.v1.Session() as session:
      session.run(tf.compat.v1.global_variables_initializer())
      for variable in graph.lowering.graph.all_variables:
        if variable.name in weights:
          initializer = variable.get_master().initializer
          session.run(initializer, {
              initializer.inputs[1]: weights[variable.name]})
      came = [session.run([graph.loss, picture, graph.train_op])
              for _ in range(_STEPS)]
      return [row[0] for row in came], came[-1][1], {
          v.name: session.run(v.get_master())
          for v in graph.lowering.graph.all_variables}


@pytest.mark.slow
def test_the_job_trains_like_one_device(tmp_path, monkeypatch):
  job = tpu_job.TpuJob(_CONFIG, str(tmp_path / 'model'),
                       system=tpu_system.made(16),
                       files=_files(tmp_path / 'blocks', _CONFIG))
  graph, lowering = _built(job, monkeypatch)
  weights = lowered.random_weights(lowering.graph)
  loss, variables, events = _train(graph, lowering, weights, job.model_dir)
  losses, picture, expected = _alone(_files(tmp_path / 'whole', _ONE), weights)
  assert loss == pytest.approx(losses[-1], rel=1e-4)
  assert set(variables) == set(expected)
  for name, value in variables.items():
    lowered.assert_close(value, expected[name], name, tolerance=1e-3)
  curve = {step: value.simple_value for step, tag, value in events
           if tag.endswith('loss') and 'dice' not in tag}
  assert curve == pytest.approx(dict(enumerate(losses)), rel=1e-4)
  drawn = [value.image for _, tag, value in events
           if summaries.PICTURE in tag]
  np.testing.assert_allclose(
      tf.io.decode_png(drawn[-1].encoded_image_string), picture[0], atol=1)
