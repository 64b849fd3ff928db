"""Weighted cross entropy and soft Dice from sums over the mesh.

Blocks compute, for every case, a handful of sums; only those cross the mesh.
The gradient to the logits is made from the logits, the labels and the
gradients to the sums, so neither one-hot labels nor probabilities are kept;
both go through a block slab by slab, so none is made of a whole large block.

With p = softmax(logits), t the label, w the weight of its class and sums over
the voxels of one case:
  probability[b, c] = sum p_c            intersection[b, c] = sum p_c [t = c]
  voxels[b, c] = sum [t = c]             cross_entropy[b] = sum -w_t log p_t
"""

from collections.abc import Sequence

import tensorflow as tf

from mtf_unet import config as config_lib
from mtf_unet import convolution
from mtf_unet import halo
from mtf_unet import slabs
from mtf_unet.mtf_compat import mtf


class ClassSumsOperation(mtf.Operation):
  """The four sums above; labels are whole numbers [batch, *spatial]."""

  def __init__(self, logits, labels, class_weights):
    super().__init__([logits, labels], name='class_sums')
    self._weights = list(class_weights)
    batch, classes = logits.shape.dims[0], logits.shape.dims[-1]
    by_class, by_case = mtf.Shape([batch, classes]), mtf.Shape([batch])
    self._outputs = [mtf.Tensor(self, shape, tf.float32)
                     for shape in (by_class, by_class, by_class, by_case)]

  def gradient(self, grad_ys):
    names = ('probability', 'intersection', None, 'cross_entropy')
    grads = {name: dy for name, dy in zip(names, grad_ys) if name and dy}
    return [ClassSumsGradientOperation(
        *self.inputs, grads, self._weights).outputs[0], None]

  def lower(self, lowering):
    mesh_impl, (logits, labels) = lowering.mesh_impl(self), self.inputs
    sums = mesh_impl.slicewise(
        lambda x, t: _class_sums(x, t, self._weights),
        lowering.tensors[logits], lowering.tensors[labels])
    axes = convolution.split_axes(mesh_impl,
                                  mtf.Shape(logits.shape.dims[1:-1]))
    for output, value in zip(self.outputs, sums):
      lowering.set_tensor_lowering(
          output, mesh_impl.allreduce(value, axes, 'SUM'))


def _class_sums(logits, labels, weights):
  """Adds up the slabs' sums, one slab after the other."""
  totals = ()
  for begin, size in slabs.along_x(labels.shape.as_list()):
    # Else all slabs would be at work, and in memory, at once.
    with tf.control_dependencies(totals):
      part = _slab_sums(halo.slice_axis(logits, 1, begin, size),
                        halo.slice_axis(labels, 1, begin, size), weights)
    totals = tuple(map(tf.add, totals, part)) if totals else part
  return totals


def _slab_sums(logits, labels, weights):
  rank = logits.shape.rank
  spatial, classes = list(range(1, rank - 1)), logits.shape[-1]
  log_p = tf.nn.log_softmax(logits)
  p = tf.exp(log_p)
  truth = tf.one_hot(tf.cast(labels, tf.int32), classes)
  weighted = truth * tf.constant(weights, tf.float32)
  return (tf.reduce_sum(p, spatial), tf.reduce_sum(p * truth, spatial),
          tf.reduce_sum(truth, spatial),
          -tf.reduce_sum(weighted * log_p, spatial + [rank - 1]))


class ClassSumsGradientOperation(mtf.Operation):
  """The gradient of the sums to the logits.

  With a_c the gradient to p_c, namely that to probability[c] plus, where the
  label is c, that to intersection[c], and e that to cross_entropy:
    dlogits_c = p_c (a_c - sum_k p_k a_k) + e w_t (p_c - [t = c]).
  """

  def __init__(self, logits, labels, grads, weights):
    super().__init__([logits, labels, *grads.values()],
                     name='class_sums_gradient')
    self._names, self._weights = list(grads), weights
    self._outputs = [mtf.Tensor(self, logits.shape, logits.dtype)]

  @property
  def has_gradient(self):
    return False

  def lower(self, lowering):
    def local(logits, labels, *values):
      return _class_sums_gradient(
          logits, labels, dict(zip(self._names, values)), self._weights)
    lowering.set_tensor_lowering(
        self.outputs[0], lowering.mesh_impl(self).slicewise(
            local, *map(lowering.tensors.get, self.inputs)))


def _class_sums_gradient(logits, labels, grads, weights):
  parts = []
  for begin, size in slabs.along_x(labels.shape.as_list()):
    with tf.control_dependencies(parts[-1:]):
      parts.append(_slab_gradient(
          halo.slice_axis(logits, 1, begin, size),
          halo.slice_axis(labels, 1, begin, size), grads, weights))
  return parts[0] if len(parts) == 1 else tf.concat(parts, 1)


def _slab_gradient(logits, labels, grads, weights):
  ones = [1] * (logits.shape.rank - 2)
  spread = lambda t: tf.reshape(t, [t.shape[0], *ones, -1])
  p = tf.nn.softmax(logits)
  truth = tf.one_hot(tf.cast(labels, tf.int32), logits.shape[-1])
  result = tf.zeros_like(logits)
  a = 0.0
  if 'probability' in grads:
    a += spread(grads['probability'])
  if 'intersection' in grads:
    a += spread(grads['intersection']) * truth
  if 'probability' in grads or 'intersection' in grads:
    result += p * (a - tf.reduce_sum(p * a, -1, keepdims=True))
  if 'cross_entropy' in grads:
    weight = tf.reduce_sum(truth * tf.constant(weights, tf.float32), -1,
                           keepdims=True)
    result += spread(grads['cross_entropy']) * weight * (p - truth)
  return result


def class_sums(logits: mtf.Tensor, labels: mtf.Tensor,
               class_weights: Sequence[float]) -> tuple[mtf.Tensor, ...]:
  """Sums over the voxels of each case.

  Args:
    logits: float32 [batch, *spatial, classes].
    labels: whole numbers 0 .. classes - 1, [batch, *spatial].
    class_weights: one for each class.

  Returns:
    probability, intersection and voxels [batch, classes] and cross_entropy
    [batch], as the module says.
  """
  return tuple(ClassSumsOperation(logits, labels, class_weights).outputs)


def dice(intersection: mtf.Tensor, probability: mtf.Tensor,
         voxels: mtf.Tensor, epsilon: float) -> mtf.Tensor:
  """(2 intersection + epsilon) / (probability + voxels + epsilon).

  1 where a class is neither predicted nor present, so that an empty case
  predicted empty costs nothing.
  """
  return (2.0 * intersection + epsilon) / (probability + voxels + epsilon)


def segmentation_loss(logits: mtf.Tensor, labels: mtf.Tensor,
                      config: config_lib.LossConfig) -> dict[str, mtf.Tensor]:
  """Joins the Dice loss and the weighted cross entropy.

  loss = dice_weight (1 - (case Dice + global Dice) / 2)
         + (1 - dice_weight) mean over voxels of -w_t log p_t,
  the case Dice averaged over cases, both over `dice_classes`; the global one
  is that of the sums over all cases.

  Args:
    logits: float32 [batch, *spatial, classes].
    labels: whole numbers [batch, *spatial].
    config: weights.

  Returns:
    Scalars 'loss', 'cross_entropy', 'dice_loss' and, by class [classes],
    'soft_dice'.
  """
  classes = logits.shape.dims[-1]
  weights = config.class_weights or (1.0,) * classes.size
  probability, intersection, voxels, entropy = class_sums(
      logits, labels, weights)
  entropy = mtf.reduce_sum(entropy) / float(labels.shape.size)
  by_case = dice(intersection, probability, voxels, config.dice_epsilon)
  total = [mtf.reduce_sum(t, output_shape=[classes])
           for t in (intersection, probability, voxels)]
  overall = dice(*total, config.dice_epsilon)
  case_mean = mtf.reduce_mean(by_case, output_shape=[classes])
  counted = [float(c in config.dice_classes) / len(config.dice_classes)
             for c in range(classes.size)] if config.dice_classes else [
                 0.0] * classes.size
  counted = mtf.import_tf_tensor(logits.mesh, tf.constant(counted),
                                 mtf.Shape([classes]))
  dice_loss = 1.0 - mtf.reduce_sum(0.5 * (case_mean + overall) * counted)
  loss = (config.dice_weight * dice_loss
          + (1.0 - config.dice_weight) * entropy)
  return {'loss': loss, 'cross_entropy': entropy, 'dice_loss': dice_loss,
          'soft_dice': case_mean}
