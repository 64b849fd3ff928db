"""The benchmark's step in PyTorch, where that is installed."""

import torch
from torch import nn
from torch.nn import functional

from mtf_unet import config as config_lib
from mtf_unet.benchmark import problem as problem_lib


def warm_up() -> None:
  """Runs one convolution, so that the runtime and its threads exist."""
  x = torch.ones(1, 4, 8, 8, 8)
  functional.conv3d(x, torch.ones(4, 4, 3, 3, 3), padding=1).sum().item()


def _block(config, inputs, level, first=False):
  filters = config.base_filters * 2 ** level
  layers = []
  for i in range(config.convolutions_per_level):
    layers += [
        nn.Conv3d(inputs, filters, 3, padding=1, bias=False),
        nn.BatchNorm3d(filters, eps=config.epsilon,
                       momentum=1 - config.batch_norm_momentum),
        nn.LeakyReLU(config.leaky_relu_slope, inplace=True)]
    if not first or i:
      layers.append(nn.Dropout(1 - config.dropout_keep))
    inputs = filters
  return nn.Sequential(*layers)


class Network(nn.Module):
  """`mtf_unet.unet.Network` (3-D, batch norm) from PyTorch's layers."""

  def __init__(self, config: config_lib.NetworkConfig, num_classes: int):
    super().__init__()
    filters = [config.base_filters * 2 ** i for i in range(config.levels)]
    self.encoder = nn.ModuleList(
        _block(config, inputs, level, first=level == 0)
        for level, inputs in enumerate([1, *filters[:-1]]))
    levels = list(reversed(range(config.levels - 1)))
    self.up = nn.ModuleList(
        nn.Sequential(
            nn.ConvTranspose3d(filters[level + 1], filters[level], 2, 2,
                               bias=False),
            nn.Dropout(1 - config.dropout_keep)) for level in levels)
    self.decoder = nn.ModuleList(
        _block(config, 2 * filters[level], level) for level in levels)
    self.head = nn.Conv3d(filters[0], num_classes, 1)

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    """Maps images [batch, 1, x, y, z] to logits [batch, classes, x, y, z]."""
    skips = []
    for level, block in enumerate(self.encoder):
      x = block(functional.max_pool3d(x, 2) if level else x)
      skips.append(x)
    skips.pop()
    for up, block in zip(self.up, self.decoder):
      x = block(torch.cat([up(x), skips.pop()], 1))
    return self.head(x)


def loss(logits: torch.Tensor, labels: torch.Tensor,
         config: config_lib.LossConfig) -> torch.Tensor:
  """Computes `mtf_unet.losses.segmentation_loss` on one device.

  Args:
    logits: float32 [batch, classes, x, y, z].
    labels: int64 [batch, x, y, z].
    config: weights.

  Returns:
    The scalar loss.
  """
  weights = (torch.tensor(config.class_weights) if config.class_weights
             else None)
  # PyTorch's own mean divides by the sum of the weights.
  entropy = functional.cross_entropy(
      logits, labels, weights, reduction='sum') / labels.numel()
  if not config.dice_classes:
    return config.dice_weight + (1 - config.dice_weight) * entropy
  counted = list(config.dice_classes)
  p = torch.softmax(logits, 1)[:, counted]
  truth = torch.stack([labels == c for c in counted], 1).float()
  space = (2, 3, 4)
  overlap = 2 * (p * truth).sum(space)
  total = p.sum(space) + truth.sum(space)
  ratio = lambda a, b: (a + config.dice_epsilon) / (b + config.dice_epsilon)
  dice = (ratio(overlap, total).mean()
          + ratio(overlap.sum(0), total.sum(0)).mean()) / 2
  return (config.dice_weight * (1 - dice)
          + (1 - config.dice_weight) * entropy)


def build(problem: problem_lib.Problem, *, compiled: bool,
          channels_last: bool) -> problem_lib.Step:
  """Builds the step.

  Args:
    problem: what is computed.
    compiled: let torch.compile make the forward and backward pass.
    channels_last: keep a voxel's channels side by side in memory.

  Returns:
    The step.
  """
  memory_format = (torch.channels_last_3d if channels_last
                   else torch.contiguous_format)
  model = Network(problem.network, problem.num_classes).to(
      memory_format=memory_format)
  optimizer = torch.optim.Adafactor(model.parameters(),
                                    lr=problem.learning_rate)
  images, labels = map(torch.from_numpy, problem.volume())
  images = images.movedim(-1, 1).contiguous(memory_format=memory_format)
  labels = labels.long()
  objective = lambda x, y: loss(model(x), y, problem.loss)
  if compiled:
    objective = torch.compile(objective)

  def run() -> float:
    optimizer.zero_grad(set_to_none=True)
    value = objective(images, labels)
    value.backward()
    optimizer.step()
    return value.item()
  return problem_lib.Step(run, sum(p.numel() for p in model.parameters()),
                          f'PyTorch {torch.__version__}')
