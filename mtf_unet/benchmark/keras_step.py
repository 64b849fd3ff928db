"""The benchmark's step in plain Keras, as a Keras user writes it."""

import tensorflow as tf

from mtf_unet import config as config_lib
from mtf_unet.benchmark import problem as problem_lib

_LAYERS = tf.keras.layers
# Added to squared gradients. Keras's own 1e-30 multiplies two such numbers
# where an input and an output channel get no gradient, which is 0 in float32:
# the weight between them becomes NaN.
_ADAFACTOR_EPSILON = 1e-12


def warm_up() -> None:
  """Runs one convolution, so that the runtime and its threads exist."""
  x = tf.ones([1, 8, 8, 8, 4])
  tf.nn.conv3d(x, tf.ones([3, 3, 3, 4, 4]), [1] * 5, 'SAME').numpy()


def _block(x, config, level, first=False):
  for i in range(config.convolutions_per_level):
    x = _LAYERS.Conv3D(config.base_filters * 2 ** level, 3, padding='same',
                       use_bias=False)(x)
    x = _LAYERS.BatchNormalization(
        momentum=config.batch_norm_momentum, epsilon=config.epsilon)(x)
    x = _LAYERS.LeakyReLU(config.leaky_relu_slope)(x)
    if not first or i:
      x = _LAYERS.Dropout(1 - config.dropout_keep)(x)
  return x


def network(config: config_lib.NetworkConfig, size: int,
            num_classes: int) -> tf.keras.Model:
  """Builds `mtf_unet.unet.Network` (3-D, batch norm) from Keras layers.

  Args:
    config: the architecture.
    size: voxels along each edge.
    num_classes: of the logits.

  Returns:
    A model from [batch, size, size, size, 1] to logits.
  """
  inputs = x = _LAYERS.Input((size,) * 3 + (1,))
  skips = []
  for level in range(config.levels):
    if level:
      x = _LAYERS.MaxPool3D()(x)
    x = _block(x, config, level, first=level == 0)
    skips.append(x)
  for level in reversed(range(config.levels - 1)):
    x = _LAYERS.Conv3DTranspose(config.base_filters * 2 ** level, 2, 2,
                                use_bias=False)(x)
    x = _LAYERS.Dropout(1 - config.dropout_keep)(x)
    x = _block(_LAYERS.Concatenate()([x, skips[level]]), config, level)
  return tf.keras.Model(inputs, _LAYERS.Conv3D(num_classes, 1)(x))


def loss(logits: tf.Tensor, labels: tf.Tensor,
         config: config_lib.LossConfig) -> tf.Tensor:
  """Computes `mtf_unet.losses.segmentation_loss` on one device.

  Args:
    logits: float32 [batch, x, y, z, classes].
    labels: uint8 [batch, x, y, z].
    config: weights.

  Returns:
    The scalar loss.
  """
  labels = tf.cast(labels, tf.int32)
  entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
  if config.class_weights:
    entropy *= tf.gather(tf.constant(config.class_weights), labels)
  entropy = tf.reduce_mean(entropy)
  if not config.dice_classes:
    return config.dice_weight + (1 - config.dice_weight) * entropy
  counted = list(config.dice_classes)
  p = tf.gather(tf.nn.softmax(logits), counted, axis=-1)
  truth = tf.cast(labels[..., None] == tf.constant(counted), tf.float32)
  space = [1, 2, 3]
  overlap = 2 * tf.reduce_sum(p * truth, space)
  total = tf.reduce_sum(p, space) + tf.reduce_sum(truth, space)
  ratio = lambda a, b: (a + config.dice_epsilon) / (b + config.dice_epsilon)
  dice = (tf.reduce_mean(ratio(overlap, total))
          + tf.reduce_mean(ratio(tf.reduce_sum(overlap, 0),
                                 tf.reduce_sum(total, 0)))) / 2
  return (config.dice_weight * (1 - dice)
          + (1 - config.dice_weight) * entropy)


def adafactor(learning_rate: float) -> tf.keras.optimizers.Optimizer:
  """Makes Keras's Adafactor safe for channels without a gradient."""
  return tf.keras.optimizers.Adafactor(
      learning_rate, epsilon_1=_ADAFACTOR_EPSILON, relative_step=False)


def build(problem: problem_lib.Problem, *,
          compiled: bool) -> problem_lib.Step:
  """Builds the step; XLA compiles it or oneDNN's kernels run its graph."""
  model = network(problem.network, problem.size, problem.num_classes)
  optimizer = adafactor(problem.learning_rate)
  optimizer.build(model.trainable_variables)
  images, labels = map(tf.constant, problem.volume())

  @tf.function(jit_compile=compiled)
  def step(images, labels):
    with tf.GradientTape() as tape:
      value = loss(model(images, training=True), labels, problem.loss)
    variables = model.trainable_variables
    optimizer.apply_gradients(zip(tape.gradient(value, variables), variables))
    return value
  return problem_lib.Step(
      lambda: float(step(images, labels)),
      sum(int(tf.size(v)) for v in model.trainable_variables),
      f'Keras of TensorFlow {tf.__version__}')
