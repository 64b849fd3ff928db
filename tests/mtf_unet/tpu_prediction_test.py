"""The prediction of simulated cores against that of this process."""

import numpy as np
import pytest
import tensorflow as tf

from mtf_unet import blocks
from mtf_unet import inference
from mtf_unet import layout
from mtf_unet import model
from mtf_unet import tpu_prediction
from mtf_unet import tpu_system
from tests.mtf_unet import jobs
from tests.mtf_unet import lowered
from tests.mtf_unet import simd_simulator

_ONE = {'mesh': {'spatial_split': (1, 1, 1)},
        'network': {'convolutions_per_level': 1}}


def _checkpoint(folder, config):
  """Random weights, moving averages of batch norm and of weights included."""
  rng = np.random.RandomState(0)
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    partition = layout.partition(config.mesh)
    graph = model.prediction_graph(config, partition, config.data.size, 1)
    session.run(tf.compat.v1.global_variables_initializer())
    for variable in tf.compat.v1.global_variables():
      session.run(variable.assign(np.abs(rng.normal(0.5, 0.2, variable.shape))))
    return graph.saver.save(session, f'{folder}/model.ckpt')


def _on_cores(config, checkpoint, image):
  """Runs the program of the cores on the simulator."""
  partition = layout.partition(config.mesh)
  batch = partition.blocks(layout.BATCH)
  size = image.shape[:-1]
  with tf.Graph().as_default() as graph:
    program = tpu_prediction.prediction_graph(
        config, partition, size, batch,
        system=tpu_system.made(partition.mesh_size))
    copy = program.lowering.copy_masters_to_slices()
  simulator = simd_simulator.Simulator(graph)
  saver = program.saver.saver_def
  simulator.run(
      [graph.get_operation_by_name(saver.restore_op_name)],
      {graph.get_tensor_by_name(saver.filename_tensor_name): checkpoint})
  simulator.run([copy])
  shape = model.batch_shape(config, batch, size)
  where = blocks.places(partition, model.dim_names(config), shape)
  whole = np.repeat(image[None], batch, 0)
  came = simulator.run(program.probabilities, {
      tensor: whole[place] for tensor, place in zip(program.images, where)})
  simulator.close()
  return blocks.join(came, where, shape)


@pytest.mark.parametrize('mesh, ema_decay', [
    ({'spatial_split': (2, 2, 1)}, 0.5),
    ({'spatial_split': (1, 1, 2), 'batch_split': 2}, 0.0),
], ids=['x and y, averages', 'z and batch'])
def test_cores_predict_what_one_device_does(tmp_path, mesh, ema_decay):
  training = {'ema_decay': ema_decay}
  plain = jobs.config(**_ONE, training=training)
  checkpoint = _checkpoint(tmp_path, plain)
  image = jobs.cases(1, plain)[0].image
  predictor = inference.Predictor(plain, layout.partition(plain.mesh),
                                  plain.data.size)
  predictor.restore(checkpoint)
  expected = predictor.probabilities(image)
  came = _on_cores(jobs.config(**{**_ONE, 'mesh': mesh}, training=training),
                   checkpoint, image)
  for one in came:
    lowered.assert_close(one, expected, 'probabilities')


def test_a_session_is_opened_on_the_tpu(monkeypatch):
  opened = []
  monkeypatch.setattr(tf.compat.v1, 'Session',
                      lambda *args, **keywords: opened.append((args, keywords)))
  config = jobs.config(mesh={'spatial_split': (2, 1, 1)},
                       network={'levels': 1})
  system = tpu_system.made(2)
  tpu_prediction.predictor(config, layout.partition(config.mesh),
                           config.data.size, system)
  ((master,), keywords), = opened
  assert master == system.master
  assert keywords['config'].isolate_session_state
  types = {operation.type for operation in keywords['graph'].get_operations()}
  # The TPU was initialised when it was reached, and is left running.
  assert 'TPUReplicateMetadata' in types
  assert not types & {'ConfigureDistributedTPU', 'ShutdownDistributedTPU'}
