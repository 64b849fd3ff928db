"""The UNet as a list of layers: what is built, and what a plan counts.

`unet` builds a Mesh-TensorFlow graph from this list and `memory_planner`
counts bytes from it, so the two cannot speak of different networks. No
TensorFlow here.
"""

import dataclasses

from mtf_unet import config as config_lib

# 3x3x3 convolution, norm, leaky ReLU and dropout.
CONVOLUTION = 'convolution'
# 2x2x2 max pooling, down to the layer's level.
POOL = 'pool'
# 2x2x2 transposed convolution and dropout, up to the layer's level.
UP = 'up'
# Concatenation with the encoder's last activation of the same level.
JOIN = 'join'
# 1x1x1 convolution with bias to the classes.
HEAD = 'head'


@dataclasses.dataclass(frozen=True)
class Layer:
  """One layer; layers follow each other, each fed by the one before.

  Only a branch feeds none: the next layer has the same input.

  Attributes:
    kind: one of the words above.
    name: unique; for those with variables, their scope.
    level: of the result, whose spatial edges are the image's / 2^level.
    inputs: channels that enter.
    outputs: channels of the result.
    drops: whether dropout follows in training.
  """
  kind: str
  name: str
  level: int
  inputs: int
  outputs: int
  drops: bool = False

  @property
  def kernel(self) -> int:
    """Edge of the filter in voxels; 0 for layers without one."""
    return {CONVOLUTION: 3, UP: 2, HEAD: 1}.get(self.kind, 0)

  @property
  def stride(self) -> int:
    """Of the convolution whose transpose `up` is; 1 for the others."""
    return 2 if self.kind == UP else 1

  @property
  def is_branch(self) -> bool:
    """Whether it is a coarse head, whose input feeds the next layer as well."""
    return self.kind == HEAD and self.level > 0


@dataclasses.dataclass(frozen=True)
class Variable:
  """One float32 variable: its name, shape, and whether it is trained."""
  name: str
  shape: tuple[int, ...]
  trainable: bool = True


def layers(network: config_lib.NetworkConfig, image_channels: int,
           num_classes: int) -> list[Layer]:
  """Lists the network's layers in the order of the data.

  Args:
    network: the architecture.
    image_channels: of the input.
    num_classes: of the logits.
  """
  result = []

  def add(kind, name, level, outputs, drops=False):
    inputs = result[-1].outputs if result else image_channels
    if kind == JOIN:
      inputs, outputs = 2 * inputs, 2 * inputs
    result.append(Layer(kind, name, level, inputs, outputs, drops))

  def add_block(scope, level):
    for i in range(network.convolutions_per_level):
      # The reference drops nothing after its very first convolution.
      add(CONVOLUTION, f'{scope}_{i}', level, network.base_filters << level,
          drops=bool(result))

  for level in range(network.levels):
    if level:
      add(POOL, f'pool_{level}', level, network.base_filters << (level - 1))
    add_block(f'encoder_{level}', level)
  for level in reversed(range(network.levels - 1)):
    add(UP, f'up_{level}', level, network.base_filters << level, drops=True)
    add(JOIN, f'join_{level}', level, None)
    add_block(f'decoder_{level}', level)
  add(HEAD, 'head', 0, num_classes)
  return result


def coarse_heads(network: config_lib.NetworkConfig, num_classes: int
                 ) -> list[Layer]:
  """Lists the heads of deep supervision, that of level 1 first.

  Each is fed by the decoder's last convolution of its level. They are no part
  of `layers`, whose result they leave as it is; see `training_layers`.

  Args:
    network: the architecture.
    num_classes: of the logits.
  """
  return [Layer(HEAD, f'head_{level}', level, network.base_filters << level,
                num_classes)
          for level in range(1, network.deep_supervision + 1)]


def training_layers(network: config_lib.NetworkConfig, image_channels: int,
                    num_classes: int) -> list[Layer]:
  """Lists what is built to train: `layers`, and among them the coarse heads.

  Args:
    network: the architecture.
    image_channels: of the input.
    num_classes: of the logits.
  """
  heads = {head.level: head for head in coarse_heads(network, num_classes)}
  result = []
  for layer in layers(network, image_channels, num_classes):
    # What goes up is a level's result.
    if layer.kind == UP and layer.level + 1 in heads:
      result.append(heads[layer.level + 1])
    result.append(layer)
  return result


def variables(layer: Layer, network: config_lib.NetworkConfig
              ) -> list[Variable]:
  """Lists a layer's variables in the order in which they are made."""
  if not layer.kernel:
    return []
  channels = (layer.inputs, layer.outputs)
  if layer.kind == UP:
    channels = channels[::-1]
  result = [Variable(f'{layer.name}/kernel',
                     (layer.kernel,) * network.dimensions + channels)]
  if layer.kind == HEAD:
    result.append(Variable(f'{layer.name}/bias', (layer.outputs,)))
  if layer.kind == CONVOLUTION:
    names = {'gamma': True, 'beta': True}
    if network.normalization == 'batch':
      names |= {'moving_mean': False, 'moving_variance': False}
    result += [Variable(f'{layer.name}/{name}', (layer.outputs,), trainable)
               for name, trainable in names.items()]
  return result
