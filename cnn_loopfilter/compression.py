"""Removes whole filters from a trained network (arXiv:1805.06121).

The paper's regularisers drive the batch-norm scales of useless filters
towards zero; those filters are removed here, and what remains is a smaller
dense network. The paper's threshold and widths were not available to us.

Legend: a *filter* is one output of one layer; `kept` holds for every layer
but the last a boolean [out].
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import math

import numpy as np

from cnn_loopfilter import config as config_lib
from cnn_loopfilter import errors
from cnn_loopfilter import float_filter

Kept = Sequence[np.ndarray]


def importances(source: float_filter.FloatFilter, kind: str
                ) -> list[np.ndarray]:
  """Returns how much each filter matters; larger is more.

  Args:
    source: the network, with its norms.
    kind: 'scale': |gamma|, the paper's. 'magnitude', a control that knows no
      batch norm: root mean square of the filter's kernel. 'contribution',
      ours: the share of the next layer's variance that comes from filter i,

        sqrt(mean over j of gamma_i^2 sum_taps K_ij^2 / V_j)

      where V_j is the variance that batch norm has seen at output j, or the
      sum over i of the same terms in the last layer.

  Returns:
    float64 [out] for every layer but the last.

  Raises:
    InputError: if a layer has no batch norm where its scale is asked for.
  """
  hidden = source.layers[:-1]
  if kind == 'magnitude':
    return [np.sqrt(np.mean(np.square(layer.kernel, dtype=np.float64),
                            axis=(0, 1, 2))) for layer in hidden]
  if any(layer.norm is None for layer in hidden):
    raise errors.InputError(
        f'compression.importance {kind!r}: the filter has layers without batch '
        "norm, expected one that training has exported, or 'magnitude'")
  scales = [np.abs(layer.norm.scale.astype(np.float64)) for layer in hidden]
  if kind == 'scale':
    return scales
  return [_contribution(scale, following)
          for scale, following in zip(scales, source.layers[1:])]


def _contribution(scale, following):
  power = np.square(following.kernel, dtype=np.float64).sum((0, 1))
  power = np.square(scale)[:, None] * power
  variance = (power.sum(0) if following.norm is None
              else following.norm.variance.astype(np.float64))
  return np.sqrt(np.mean(power / np.maximum(variance, 1e-30), axis=1))


def choose(source: float_filter.FloatFilter,
           config: config_lib.CompressionConfig) -> list[np.ndarray]:
  """Decides which filters stay.

  With a threshold: those at or above it. With `keep_macs`: the least
  important of all layers go, one after another, until the multiplications
  that are left are at most that part of those before. Every layer keeps its
  best `minimum_width` filters, and its width is rounded up to
  `width_multiple`.

  Raises:
    InputError: if the wanted part is less than the smallest widths allow.
  """
  ranks = importances(source, config.importance)
  if config.threshold is not None:
    return _keep_best(ranks, [int((rank >= config.threshold).sum())
                              for rank in ranks], config)
  order = np.concatenate(
      [np.stack([rank, np.full(rank.shape, i)], 1)
       for i, rank in enumerate(ranks)])
  order = order[np.argsort(order[:, 0], kind='stable'), 1].astype(int)
  wanted = config.keep_macs * source.macs_per_sample
  widths = [len(rank) for rank in ranks]
  kept = _keep_best(ranks, widths, config)
  for layer in order:
    if macs(source, kept) <= wanted:
      return kept
    widths[layer] -= 1
    kept = _keep_best(ranks, widths, config)
  if macs(source, kept) <= wanted:
    return kept
  raise errors.InputError(
      f'config key compression.keep_macs: got {config.keep_macs}, expected '
      f'{macs(source, kept) / source.macs_per_sample:.4f} or more with '
      'this compression.minimum_width and width_multiple')


def _keep_best(ranks, widths, config):
  """Keeps the most important ones of each layer, at least the smallest."""
  kept = []
  for rank, width in zip(ranks, widths):
    multiple = config.width_multiple
    width = max(width, config.minimum_width)
    width = min(len(rank), math.ceil(width / multiple) * multiple)
    mask = np.zeros(len(rank), bool)
    mask[np.argsort(-rank, kind='stable')[:width]] = True
    kept.append(mask)
  return kept


def macs(source: float_filter.FloatFilter, kept: Kept) -> int:
  """Returns multiplications per sample of what stays."""
  widths = [source.layers[0].kernel.shape[2], *(int(k.sum()) for k in kept), 1]
  taps = [layer.kernel.shape[0] ** 2 for layer in source.layers]
  return sum(t * a * b for t, a, b in zip(taps, widths, widths[1:]))


def mean_output(layer: float_filter.Layer) -> np.ndarray:
  """Returns the mean output of each filter of a layer with batch norm.

  Batch norm makes its input one of mean 0 and variance 1; where it is normal
  too, the mean of relu(gamma x + beta) is, with s = |gamma|,

    beta Phi(beta / s) + s phi(beta / s)

  (Phi and phi are the normal distribution and its density), and relu(beta)
  where the scale is 0.

  Returns:
    float64 [out], 0 or more.
  """
  scale = np.abs(layer.norm.scale.astype(np.float64))
  offset = layer.norm.offset.astype(np.float64)
  ratio = offset / np.maximum(scale, 1e-12)
  density = np.exp(-0.5 * np.square(ratio)) / math.sqrt(2 * math.pi)
  below = np.array([0.5 * math.erfc(-r / math.sqrt(2)) for r in ratio])
  return offset * below + scale * density


def prune(source: float_filter.FloatFilter, kept: Kept
          ) -> float_filter.FloatFilter:
  """Rebuilds the network without the filters that are not kept.

  The inputs that read a removed filter go with it. Its mean output, as seen
  through the next kernel, becomes part of the next layer's bias, so that a
  filter of scale 0 goes without a trace, but for the picture's border: there
  the zero padding had cut its constant off.

  Args:
    source: the network, with its norms.
    kept: see the top of the file.
  """
  layers, inputs, constant = [], np.ones(source.layers[0].kernel.shape[2],
                                         bool), None
  for layer, mask in zip(source.layers, [*kept, np.ones(1, bool)]):
    bias = layer.bias.astype(np.float64)
    if constant is not None:
      lost = np.where(inputs, 0.0, constant)
      bias = bias + np.einsum('yxio,i->o', layer.kernel, lost)
    norm = layer.norm
    constant = mean_output(layer) if norm is not None else np.zeros(len(mask))
    if norm is not None:
      norm = dataclasses.replace(norm, **{
          key: getattr(norm, key)[mask]
          for key in ('scale', 'offset', 'mean', 'variance')})
    layers.append(dataclasses.replace(
        layer, kernel=layer.kernel[:, :, inputs][..., mask],
        bias=bias[mask].astype(np.float32), norm=norm))
    inputs = mask
  return dataclasses.replace(source, layers=tuple(layers))


def layer_table(before: float_filter.FloatFilter,
                after: float_filter.FloatFilter) -> list[dict]:
  """Returns what every layer was and is.

  Returns:
    For each layer, and for their sum under the name 'all': filters,
    parameters (kernel and one bias for each filter, batch norm folded in) and
    MACs per sample, as pairs (before, after).
  """
  rows = []
  for i, pair in enumerate(zip(before.layers, after.layers)):
    kernels = [layer.kernel for layer in pair]
    rows.append({
        'layer': str(i + 1), 'filters': [k.shape[-1] for k in kernels],
        'parameters': [k.size + k.shape[-1] for k in kernels],
        'macs': [k.size for k in kernels]})
  rows.append({'layer': 'all', **{
      key: [sum(row[key][i] for row in rows) for i in (0, 1)]
      for key in ('filters', 'parameters', 'macs')}})
  return rows


def format_table(rows: Sequence[Mapping]) -> str:
  """Writes `layer_table` as text, with the part of the MACs that stays."""
  lines = ['layer   filters     parameters        MACs/sample     kept']
  for row in rows:
    (f0, f1), (p0, p1), (m0, m1) = (
        row[key] for key in ('filters', 'parameters', 'macs'))
    lines.append(f'{row["layer"]:>5}  {f0:4d} {f1:4d}  {p0:7d} {p1:7d}  '
                 f'{m0:8d} {m1:8d}  {m1 / m0:6.1%}')
  return '\n'.join(lines)
