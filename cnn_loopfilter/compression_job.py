"""Compresses a trained filter and trains the controls beside it.

  trained filter -> prune -> fine-tune                        (compressed)
  trained filter -> prune by another importance -> fine-tune  (its name)
  widths of the compressed one -> train from scratch          (scratch)

Every training is the ordinary job in a folder of its own, so that the same
command goes on where it was stopped.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import pathlib

from cnn_loopfilter import checkpoints
from cnn_loopfilter import compression
from cnn_loopfilter import config as config_lib
from cnn_loopfilter import errors
from cnn_loopfilter import evaluation
from cnn_loopfilter import float_filter
from cnn_loopfilter import frames
from cnn_loopfilter import network
from cnn_loopfilter import optimizers
from cnn_loopfilter import patch_scores
from cnn_loopfilter import training
from cnn_loopfilter.codec import base

# Filters pruned by another importance, and the same widths from scratch.
CONTROLS = ('scale', 'contribution', 'magnitude', 'scratch')

Gains = Mapping[tuple[str, int], patch_scores.Gain]


@dataclasses.dataclass(frozen=True)
class Study:
  """What all variants share.

  Attributes:
    source: the trained filter, with its batch norms.
    config: of the compression and of the fine-tuning.
    folder: each variant gets a folder in here: pruned.npz, model/ and
      filter.npz.
    patches: gives the data of a training by its config.
    held_out: patches that are scored; None for no scores.
    factories: optimizers by name.
    report: receives one-line messages for the user.
  """
  source: float_filter.FloatFilter
  config: config_lib.Config
  folder: pathlib.Path
  patches: Callable[[config_lib.TrainingConfig], training.Patches]
  held_out: training.HeldOut | None = None
  factories: Mapping[str, optimizers.Factory] = dataclasses.field(
      default_factory=lambda: dict(optimizers.BUILT_IN))
  report: Callable[[str], None] = print


def compress(study: Study, importance: str, name: str
             ) -> tuple[float_filter.FloatFilter, float_filter.FloatFilter]:
  """Prunes by one kind of importance and fine-tunes.

  Args:
    study: what is compressed.
    importance: see `compression.importances`.
    name: folder of the variant.

  Returns:
    The pruned filter and the fine-tuned one.
  """
  settings = dataclasses.replace(study.config.compression,
                                 importance=importance)
  kept = compression.choose(study.source, settings)
  pruned = compression.prune(study.source, kept)
  pruned = dataclasses.replace(pruned, description={
      **study.source.description,
      'compression': dataclasses.asdict(settings)})
  path = study.folder / name / 'pruned.npz'
  pruned.save(path)
  config = dataclasses.replace(
      study.config, network=_network(study.config, pruned),
      training=dataclasses.replace(study.config.training,
                                   warm_start=str(path)))
  return pruned, _train(study, config, name, {
      'compressed from': study.source.description,
      'compression': dataclasses.asdict(settings)})


def from_scratch(study: Study, like: float_filter.FloatFilter
                 ) -> float_filter.FloatFilter:
  """Trains the widths of `like` from nothing, by the source's own recipe.

  Lasts `compression.scratch_steps`, or as many steps as the source and its
  fine-tuning together (times patches a step).

  Raises:
    InputError: if the source does not tell how it was trained.
  """
  told = study.source.description
  if 'config' not in told or 'step' not in told:
    raise errors.InputError(
        'the filter does not tell how it was trained, which the control '
        'scratch repeats; expected one from train.py --mode=export')
  config = config_lib.from_mapping(told['config'])
  tuning, batch = study.config.training, config.training.batch_size
  steps = study.config.compression.scratch_steps or (
      told['step'] + -(-tuning.steps * tuning.batch_size // batch))
  config = dataclasses.replace(
      config, network=_network(config, like),
      training=dataclasses.replace(config.training, steps=steps,
                                   warm_start=''))
  return _train(study, config, 'scratch', {})


def _network(config, source):
  return network.network_config(
      source, activation_dtype=config.network.activation_dtype,
      batch_norm_momentum=config.network.batch_norm_momentum)


def _train(study, config, name, description):
  folder = study.folder / name
  job = training.Job(config, str(folder / 'model'), study.factories,
                     lambda line: study.report(f'{name}: {line}'))
  training.train(job, study.patches(config.training), study.held_out)
  trained = checkpoints.read_filter(folder / 'model')
  trained = dataclasses.replace(
      trained, description={**trained.description, **description})
  trained.save(folder / 'filter.npz')
  return trained


def score(study: Study, variants: Mapping[str, float_filter.FloatFilter]
          ) -> dict[str, Gains]:
  """Scores filters on the held-out patches, by name."""
  return {name: training.score_filter(
      variant, study.held_out, study.config.training.evaluate_patches)
          for name, variant in variants.items()}


def bd_rates(variants: Mapping[str, float_filter.FloatFilter],
             sequences: Sequence[frames.Sequence], codec: base.Codec,
             qps: Sequence[int],
             on_point: Callable[[int, int, str], None] = lambda *_: None
             ) -> dict[str, tuple[float | None, ...]]:
  """Codes pictures and compares every variant with the codec's own filters.

  Args:
    variants: by name.
    sequences: what to code.
    codec: with filters of its own.
    qps: at which it codes, four or more.
    on_point: told (done, total, name) after each sequence and QP.

  Returns:
    For each variant, and for 'none', the mean BD-rate in percent of each
    component against the codec's own filters.
  """
  results = evaluation.evaluate(
      sequences, codec, qps,
      {name: network.plane_filter(one) for name, one in variants.items()},
      on_point=on_point)
  return {row.state: row.percent
          for row in evaluation.bd_rates(results, evaluation.ANCHOR)
          if row.name == evaluation.AVERAGE}


def format_overview(study: Study,
                    variants: Mapping[str, float_filter.FloatFilter],
                    scores: Mapping[str, Gains],
                    rates: Mapping[str, tuple[float | None, ...]]) -> str:
  """Writes a line for each variant: MACs, mean gain, BD-rates if any."""
  width = max(map(len, variants))
  lines = [f'{"":{width}}  MACs/sample    kept  gain dB'
           + ('   BD-rate % Y        U        V' if rates else '')]
  for name, variant in variants.items():
    macs = variant.macs_per_sample
    line = (f'{name:{width}}  {macs:11d}  '
            f'{macs / study.source.macs_per_sample:6.1%}  '
            f'{patch_scores.mean_gain(scores[name]):+7.3f}')
    if rates:
      line += '     ' + ''.join(
          '        -' if value is None else f'{value:+9.2f}'
          for value in rates[name])
    lines.append(line)
  return '\n'.join(lines)


def format_scores(scores: Mapping[str, Gains]) -> str:
  """Writes PSNR gains in dB as text: a line for each class, then the mean."""
  first = next(iter(scores.values()))
  width = max(10, *map(len, scores))
  lines = ['component  QP' + ''.join(f'  {name:>{width}}' for name in scores)]
  for component, qp in first:
    lines.append(f'{component:>9}  {qp:>2}' + ''.join(
        f'  {gains[component, qp].db:+{width}.3f}'
        for gains in scores.values()))
  lines.append('     mean    ' + ''.join(
      f'  {patch_scores.mean_gain(gains):+{width}.3f}'
      for gains in scores.values()))
  return '\n'.join(lines)


def summary(study: Study, variants: Mapping[str, float_filter.FloatFilter],
            scores: Mapping[str, Gains],
            rates: Mapping[str, tuple[float | None, ...]]) -> dict:
  """Returns all numbers as JSON-able: widths, layers, PSNR, BD-rates."""
  return {name: {
      'filters': list(variant.widths),
      'macs_per_sample': variant.macs_per_sample,
      'layers': compression.layer_table(study.source, variant),
      'psnr_db': {f'{component} {qp}': [gain.before, gain.after]
                  for (component, qp), gain in scores.get(name, {}).items()},
      'mean_gain_db': (patch_scores.mean_gain(scores[name])
                       if name in scores else None),
      'bd_rate_percent': list(rates[name]) if name in rates else None,
  } for name, variant in variants.items()}
