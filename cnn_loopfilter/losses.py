"""The terms of the paper's loss (arXiv:1805.06121).

  loss = error + lambda_w ||W|| + lambda_s ||gamma|| + lambda_lda L_lda

W are the kernels, gamma the batch-norm scales. The body of the paper was not
available to us: lambda_w 1e-5, lambda_s 5e-8 and lambda_lda 3e-6 are known,
the formula of the LDA term is our reading.
"""

from collections.abc import Sequence

import tensorflow as tf


def patch_error(reconstruction: tf.Tensor, residual: tf.Tensor,
                original: tf.Tensor) -> tf.Tensor:
  """Returns the mean squared error of each patch.

  Args:
    reconstruction: [batch, height, width, 1], sample / 2^depth.
    residual: the network's output, the same shape and unit.
    original: the same.

  Returns:
    [batch], 0 or more; the clipping to the range of samples is left out, for
    a gradient everywhere.
  """
  error = reconstruction + residual - original
  return tf.reduce_mean(tf.square(error), axis=[1, 2, 3])


def distortion(errors: tf.Tensor, patch_samples: int,
               class_errors: tf.Tensor | None = None) -> tf.Tensor:
  """Returns the squared-error term.

  With class_errors None: mean over patches of half the *summed* squared
  error, as Caffe's Euclidean loss (the authors' framework, so our reading).
  Otherwise (not the paper's): mean over patches of error / class_errors, 1
  for a network that changes nothing, so that each QP and component counts by
  its relative gain.

  Args:
    errors: [batch], see `patch_error`.
    patch_samples: samples in a patch.
    class_errors: [batch], the mean squared error that the codec leaves at the
      patch's QP and component; positive.
  """
  if class_errors is None:
    return 0.5 * patch_samples * tf.reduce_mean(errors)
  return tf.reduce_mean(errors / class_errors)


def norm(tensors: Sequence[tf.Tensor], order: str) -> tf.Tensor:
  """Returns the sum over all elements of |x| ('l1') or x^2 ('l2')."""
  element = {'l1': tf.abs, 'l2': tf.square}[order]
  return tf.add_n([tf.reduce_sum(element(x)) for x in tensors])


def fisher_split(values: tf.Tensor) -> tf.Tensor:
  """Finds the two classes that lie farthest apart.

  Of all splits of the sorted values into a lower and an upper part, takes the
  one with the largest between-class spread n_l n_u / n (mean_u - mean_l)^2.

  Args:
    values: [n], n 2 or more.

  Returns:
    Boolean [n]: which values belong to the upper class.
  """
  ordered = tf.sort(values)
  n = tf.cast(tf.size(values), values.dtype)
  below = tf.range(1.0, n, dtype=values.dtype)
  sums = tf.cumsum(ordered)
  mean_l = sums[:-1] / below
  mean_u = (sums[-1] - sums[:-1]) / (n - below)
  between = below * (n - below) / n * tf.square(mean_u - mean_l)
  return values > tf.gather(ordered, tf.argmax(between))


def lda(scales: Sequence[tf.Tensor], epsilon: float = 1e-6) -> tf.Tensor:
  """Returns how badly the scales of each layer fall into two classes.

  Our reading of the term that "separates useful filters from useless ones",
  after Fisher's linear discriminant analysis. Per layer, with s = |gamma|,
  the filters that would be kept (K) and pruned (P) are those of the best
  split (`fisher_split`; no gradient flows through the choice), and

    S_w = sum_K (s - mean_K)^2 + sum_P (s - mean_P)^2     within the classes
    S_b = n_K n_P / n (mean_K - mean_P)^2                 between them
    L_lda = sum over layers of S_w / (S_b + epsilon)

  It falls when useful filters come to share one scale, useless ones another,
  and the two move apart; it does not say where zero is, lambda_s does.

  Args:
    scales: batch-norm scales, one tensor [n] per layer; layers of one filter
      do not count.
    epsilon: keeps the quotient finite where all scales are alike, as at the
      start; the term is then 0.
  """
  terms = [_layer_lda(tf.abs(s), epsilon) for s in scales if s.shape[0] > 1]
  return tf.add_n(terms) if terms else tf.zeros([])


def _layer_lda(values, epsilon):
  upper = tf.cast(tf.stop_gradient(fisher_split(values)), values.dtype)
  n_u, n_l = tf.reduce_sum(upper), tf.reduce_sum(1 - upper)
  mean_u = tf.math.divide_no_nan(tf.reduce_sum(upper * values), n_u)
  mean_l = tf.math.divide_no_nan(tf.reduce_sum((1 - upper) * values), n_l)
  within = tf.reduce_sum(upper * tf.square(values - mean_u)
                         + (1 - upper) * tf.square(values - mean_l))
  between = n_u * n_l / (n_u + n_l) * tf.square(mean_u - mean_l)
  return within / (between + epsilon)
