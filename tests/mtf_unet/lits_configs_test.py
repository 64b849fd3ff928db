"""The paper's three experiments: every shape, without their 32 to 512 cores.

Builds the Mesh-TensorFlow graph with loss and gradients; nothing is lowered.
"""

import dataclasses

import pytest
import tensorflow as tf

from configs.mtf_unet import lits_128
from configs.mtf_unet import lits_256
from configs.mtf_unet import lits_512
from mtf_unet import config as config_lib
from mtf_unet import dropout as dropout_lib
from mtf_unet import layout
from mtf_unet import losses
from mtf_unet import normalization
from mtf_unet import unet
from mtf_unet.mtf_compat import mtf

_FILES = {128: lits_128, 256: lits_256, 512: lits_512}
_BLOCKS = {128: (4, 4, 1), 256: (8, 8, 1), 512: (16, 16, 1)}
# Convolution outputs of one volume in bfloat16, as the paper's network has.
_GIB = {128: 0.84, 256: 6.7, 512: 53.5}
# Level of each normalised convolution, in the order of the data.
_LEVELS = [0, 0, 1, 1, 2, 2, 3, 3, 2, 2, 1, 1, 0, 0]
_BATCH = 32


@dataclasses.dataclass(frozen=True)
class _Built:
  """One experiment's graph."""
  size: int
  config: config_lib.Config
  partition: layout.Partition
  logits: mtf.Tensor
  grads: list[mtf.Tensor]

  @property
  def graph(self) -> mtf.Graph:
    return self.logits.graph

  def outputs(self, kind) -> list[mtf.Tensor]:
    return [op.outputs[0] for op in self.graph.operations
            if isinstance(op, kind)]

  def slice_shape(self, shape) -> list[int]:
    impl = mtf.MeshImpl(
        mtf.convert_to_shape(self.partition.mesh_shape_string()),
        mtf.convert_to_layout_rules(self.partition.layout_string()))
    return impl.slice_shape(shape)


def _build(size):
  config = config_lib.from_mapping(_FILES[size].get_config())
  with tf.Graph().as_default():
    mesh = mtf.Mesh(mtf.Graph(), 'mesh')
    shape = (config.training.batch_size,) + config.data.size
    dims = list(map(mtf.Dimension, layout.DIMS, shape))
    images, labels = [
        mtf.import_tf_tensor(
            mesh, tf.compat.v1.placeholder(dtype, [d.size for d in all_dims]),
            mtf.Shape(all_dims))
        for dtype, all_dims in ((tf.float32, [*dims, mtf.Dimension('c', 1)]),
                                (tf.int32, dims))]
    drop = dropout_lib.Dropout(config.network.dropout_keep, 0,
                               tf.constant(0, tf.int64))
    logits = unet.Network(config.network, config.data.num_classes,
                          drop).logits(images)
    loss = losses.segmentation_loss(logits, labels, config.loss)
    grads = mtf.gradients([loss['loss']], [
        v.outputs[0] for v in mesh.graph.trainable_variables])
  return _Built(size, config, layout.partition(config.mesh), logits, grads)


@pytest.fixture(scope='module', name='built', params=list(_FILES), ids=str)
def _built(request):
  return _build(request.param)


def test_settings_are_the_papers(built):
  config = built.config
  assert config.data.size == (built.size,) * 3
  assert (config.data.fit, config.data.normalization) == (
      'resize', 'hounsfield')
  assert config.network == config_lib.NetworkConfig(
      activation_dtype='bfloat16')
  assert config.loss == config_lib.LossConfig()
  assert config.optimizer == config_lib.OptimizerConfig()
  assert config.training.batch_size == _BATCH


def test_mesh_is_rows_by_columns_and_two_cores_for_the_batch(built):
  assert built.partition.spatial_split == _BLOCKS[built.size]
  assert built.partition.blocks('batch') == 2
  edge = built.config.network.size_multiple
  layout.check_sizes(built.partition, built.config.data.size, _BATCH,
                     (edge,) * 3)


def test_every_normalised_activation_has_its_levels_shape(built):
  shapes = [t.shape.to_integer_list
            for t in built.outputs(normalization.NormalizeOperation)]
  assert shapes == [[_BATCH, *[built.size >> level] * 3, 32 << level]
                    for level in _LEVELS]
  assert built.logits.shape.to_integer_list == [_BATCH, *[built.size] * 3, 3]


def test_every_slice_is_one_block_of_half_the_batch(built):
  blocks = _BLOCKS[built.size]
  came = [built.slice_shape(t.shape)
          for t in built.outputs(normalization.NormalizeOperation)]
  assert came == [
      [_BATCH // 2, *((built.size >> level) // n for n in blocks),
       32 << level] for level in _LEVELS]


def test_every_dim_of_every_tensor_is_divided_evenly(built):
  for operation in built.graph.operations:
    for tensor in operation.outputs:
      built.slice_shape(tensor.shape)  # Raises where it is not.


def test_activations_are_bfloat16_and_weights_float32(built):
  assert {t.dtype for t in built.outputs(
      normalization.NormalizeOperation)} == {tf.bfloat16}
  assert built.logits.dtype == tf.float32
  assert {v.master_dtype for v in built.graph.all_variables} == {tf.float32}


def test_parameters_are_the_references_and_a_bias_at_the_head(built):
  variables = built.graph.trainable_variables
  assert sum(v.shape.size for v in variables) == 5_600_960 + 3


def test_every_variable_has_a_gradient_of_its_shape(built):
  for variable, grad in zip(built.graph.trainable_variables, built.grads):
    assert grad.shape == variable.shape


def test_convolution_outputs_of_a_volume_are_as_large_as_known(built):
  outputs = [op.outputs[0] for op in built.graph.operations
             if op.name.endswith('convolution')
             and 'gradients' not in op.name]
  assert len(outputs) == 14 + 3 + 1
  voxels = sum(t.shape.size for t in outputs) / _BATCH
  bytes_each = 2
  assert voxels * bytes_each / 2**30 == pytest.approx(
      _GIB[built.size], rel=0.01)
