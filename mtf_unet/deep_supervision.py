"""Losses on coarser levels of the decoder (deep supervision, as in nnU-Net).

Level l of the decoder has a head of its own, whose logits are compared with
the labels of every 2^l-th voxel. With w_l = 2^-l,

  loss = sum_l w_l loss_l / sum_l w_l,

so that each level weighs half of the one above it. The heads serve training
alone: prediction neither builds nor reads them.
"""

from collections.abc import Sequence

from mtf_unet import config as config_lib
from mtf_unet import losses
from mtf_unet.mtf_compat import mtf


class CoarseLabelsOperation(mtf.Operation):
  """The label of one voxel out of each window of `step` voxels an edge.

  The voxel is the window's middle one, of the even number the later. A window
  never crosses a block.
  """

  def __init__(self, labels, step):
    super().__init__([labels], name='coarse_labels')
    self._step = step
    batch, *spatial = labels.shape.dims
    shape = mtf.Shape([batch, *(mtf.Dimension(dim.name, dim.size // step)
                                for dim in spatial)])
    self._outputs = [mtf.Tensor(self, shape, labels.dtype)]

  @property
  def has_gradient(self):
    return False

  def lower(self, lowering):
    step = self._step
    spatial = len(self.inputs[0].shape.dims) - 1
    place = (slice(None),) + (slice(step // 2, None, step),) * spatial
    lowering.set_tensor_lowering(
        self.outputs[0], lowering.mesh_impl(self).slicewise(
            lambda t: t[place], lowering.tensors[self.inputs[0]]))


def segmentation_loss(logits: mtf.Tensor, coarse_logits: Sequence[mtf.Tensor],
                      labels: mtf.Tensor, config: config_lib.LossConfig
                      ) -> dict[str, mtf.Tensor]:
  """Joins the losses of all levels; without coarse ones, that of the finest.

  Args:
    logits: float32 [batch, *spatial, classes].
    coarse_logits: those of level 1, 2 and so on, [batch, *(spatial / 2^level),
      classes].
    labels: whole numbers [batch, *spatial].
    config: of the loss, the same on every level.

  Returns:
    As `losses.segmentation_loss`: 'loss' of all levels, the other values of
    the finest.
  """
  result = losses.segmentation_loss(logits, labels, config)
  total, weights = result['loss'], 1.0
  for level, coarse in enumerate(coarse_logits, start=1):
    part = losses.segmentation_loss(
        coarse, CoarseLabelsOperation(labels, 2**level).outputs[0], config)
    total += part['loss'] * 2.0**-level
    weights += 2.0**-level
  return result | {'loss': total / weights}
