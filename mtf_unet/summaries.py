"""TensorBoard scalars and slice pictures (image, truth, prediction)."""

from collections.abc import Mapping
from collections.abc import Sequence

import tensorflow as tf

from mtf_unet import layout

PICTURE = 'image_truth_prediction'

# Background is black; classes beyond the sixth repeat the colours.
_COLORS = ((0, 0, 0), (230, 75, 53), (77, 187, 213), (0, 160, 135),
           (243, 155, 127), (132, 145, 180), (145, 209, 194))


def middle_slice(blocks: Sequence[tf.Tensor], partition: layout.Partition,
                 volumetric: bool) -> tf.Tensor:
  """Joins the first volume's middle axial slice from the blocks that hold it.

  Args:
    blocks: [batch, x, y, (z,) ...] for each mesh position.
    partition: of the blocks.
    volumetric: whether there is a z.

  Returns:
    [x, y, ...].
  """
  return join_slices([own_slice(block, partition, volumetric)
                      for block in blocks], partition, volumetric)


def own_slice(block: tf.Tensor, partition: layout.Partition,
              volumetric: bool) -> tf.Tensor:
  """Takes the slice of a block that is the middle one if it holds that.

  Args:
    block: [batch, x, y, (z,) ...].
    partition: of the blocks.
    volumetric: whether there is a z.

  Returns:
    [x, y, ...] of the first volume.
  """
  # There, so that no more than the slice leaves the device.
  with tf.device(block.device):
    if not volumetric:
      return block[0]
    depth = block.shape[3]
    return block[0, :, :, partition.blocks('z') * depth // 2 % depth]


def join_slices(slices: Sequence[tf.Tensor], partition: layout.Partition,
                volumetric: bool) -> tf.Tensor:
  """Joins the `own_slice` of all mesh positions; as `middle_slice`."""
  pieces = {}
  for position, piece in enumerate(slices):
    place = partition.block_of(position)
    if place.get(layout.BATCH, 0) or (
        volumetric and place.get('z', 0) != partition.blocks('z') // 2):
      continue
    pieces[place.get('x', 0), place.get('y', 0)] = piece
  rows = [tf.concat([pieces[x, y] for y in range(partition.blocks('y'))], 1)
          for x in range(partition.blocks('x'))]
  return tf.concat(rows, 0)


def _gray(image):
  """[x, y] of any range to [x, y, 3] bytes."""
  low, high = tf.reduce_min(image), tf.reduce_max(image)
  scaled = (image - low) / tf.maximum(high - low, 1e-6) * 255.0
  return tf.cast(tf.repeat(scaled[..., None], 3, -1), tf.uint8)


def _colored(label):
  palette = tf.constant(_COLORS, tf.uint8)
  index = tf.cast(label, tf.int32)
  repeated = (index - 1) % (len(_COLORS) - 1) + 1
  return tf.gather(palette, tf.where(index > 0, repeated, 0))


def picture(image: tf.Tensor, label: tf.Tensor, prediction: tf.Tensor
            ) -> tf.Tensor:
  """Draws an image, its truth and the prediction beside each other.

  Args:
    image: float [x, y, channels]; the middle channel is drawn.
    label: whole numbers [x, y].
    prediction: likewise.

  Returns:
    uint8 [1, y, 3 x, 3].
  """
  channel = image[..., image.shape[-1] // 2]
  joined = tf.concat([_gray(channel), _colored(label),
                      _colored(prediction)], 0)
  # Front of the patient on top, as radiologists look at it.
  return tf.reverse(tf.transpose(joined, [1, 0, 2]), [0])[None]


def write(scalars: Mapping[str, tf.Tensor], image: tf.Tensor,
          label: tf.Tensor, prediction: tf.Tensor) -> None:
  """Adds the summaries of a training step to the graph.

  Args:
    scalars: curves by name.
    image: as `picture`, likewise label and prediction.
    label: whole numbers.
    prediction: whole numbers.
  """
  for name, value in scalars.items():
    tf.compat.v1.summary.scalar(name, value)
  tf.compat.v1.summary.image(PICTURE, picture(image, label, prediction))
