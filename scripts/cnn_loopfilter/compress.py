"""Removes filters from a trained network, fine-tunes, and compares.

  python scripts/cnn_loopfilter/compress.py \
      --config=configs/cnn_loopfilter/compress_64.py --filter=FILTER.npz \
      --data_dir=PATCHES --eval_dir=HELD_OUT_PATCHES --output_dir=FOLDER \
      --controls=magnitude,scratch --input=PICTURES

FILTER.npz is what train.py --mode=export writes (a model folder does too).
FOLDER/compressed/filter.npz is the compressed filter, FOLDER/report.json holds
all numbers. With --input, pictures are coded and BD-rates stand beside the
PSNR. The same command started again goes on where it was stopped.
"""

import os

# Before TensorFlow is imported: oneDNN's convolutions are faster.
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import dataclasses
import functools
import pathlib
import sys

# What all scripts share; a folder of its own, as scripts/ itself would hide
# the packages of the same names.
sys.path.append(str(pathlib.Path(__file__).parents[1] / 'shared'))

from absl import flags
import command_line
import frame_sources
import item_progress
import optimizer_factories
import run_record
import tensorflow as tf
import tqdm

from cnn_loopfilter import atomic_file
from cnn_loopfilter import checkpoints
from cnn_loopfilter import codec as codec_lib
from cnn_loopfilter import compression
from cnn_loopfilter import compression_job
from cnn_loopfilter import config as config_lib
from cnn_loopfilter import errors
from cnn_loopfilter import float_filter
from cnn_loopfilter import records
from cnn_loopfilter import training
from cnn_loopfilter.codec import cached

_CONFIG = command_line.define_config(config_lib.Config)
_FILTER = flags.DEFINE_string(
    'filter', None, 'Trained float filter (.npz) or model folder.')
_DATA_DIR = flags.DEFINE_string('data_dir', None, 'Patches to train on.')
_EVAL_DIR = flags.DEFINE_string('eval_dir', None, 'Held-out patches.')
_OUTPUT_DIR = flags.DEFINE_string('output_dir', None, 'Folder for results.')
_CONTROLS = flags.DEFINE_list(
    'controls', [], 'Trained beside it to compare: other importances '
    '(scale, contribution, magnitude), scratch (the same widths).')
_INPUT = flags.DEFINE_string(
    'input', '', 'Pictures or videos for BD-rates; see prepare_frames.py.')
_EVERY = flags.DEFINE_integer(
    'every', 1, 'Takes every so many of them.', lower_bound=1)
_DRY_RUN = flags.DEFINE_boolean(
    'dry_run', False, 'Build the fine-tuning step, read no data.')
_CACHE = flags.DEFINE_string('cache', '', 'Folder that keeps codings.')
flags.mark_flags_as_required(['filter', 'data_dir', 'eval_dir', 'output_dir'])

_EVALUATION_BATCH = 32


def _report(line: str) -> None:
  """Prints at once, above a progress bar where there is one."""
  tqdm.tqdm.write(line)
  sys.stdout.flush()


def _study() -> compression_job.Study:
  def patches(settings):
    return lambda start_step: records.training_dataset(
        _DATA_DIR.value, batch_size=settings.batch_size, seed=settings.seed,
        start_step=start_step, augment=settings.augment)
  source = checkpoints.read_start(_FILTER.value)
  for folder in (_DATA_DIR.value, _EVAL_DIR.value):
    records.check_shards(folder, source.depth)
  return compression_job.Study(
      source, config_lib.from_mapping(_CONFIG.value),
      pathlib.Path(_OUTPUT_DIR.value), patches,
      functools.partial(records.evaluation_dataset, _EVAL_DIR.value,
                        _EVALUATION_BATCH),
      optimizer_factories.FACTORIES, _report)


def _variants(study: compression_job.Study
              ) -> dict[str, float_filter.FloatFilter]:
  """Compresses, trains the controls, and returns all filters by name."""
  importance = study.config.compression.importance
  pruned, tuned = compression_job.compress(study, importance, 'compressed')
  found = {'before': study.source, 'pruned': pruned, 'compressed': tuned}
  for control in _CONTROLS.value:
    if control == 'scratch':
      found[control] = compression_job.from_scratch(study, found['compressed'])
    else:
      pruned, tuned = compression_job.compress(study, control, control)
      found |= {f'{control} pruned': pruned, control: tuned}
  return found


def _bd_rates(config: config_lib.Config,
              variants: dict[str, float_filter.FloatFilter]) -> dict:
  if not _INPUT.value:
    return {}
  codec = codec_lib.from_config(config.codec)
  if _CACHE.value:
    codec = cached.Cached(codec, _CACHE.value)
  sequences = frame_sources.open_input(_INPUT.value)[::_EVERY.value]
  return compression_job.bd_rates(variants, sequences, codec, config.data.qps,
                                  item_progress.ItemProgress('point'))


def main() -> None:
  """Compresses one filter."""
  tf.compat.v1.logging.set_verbosity(tf.compat.v1.logging.ERROR)
  unknown = set(_CONTROLS.value) - set(compression_job.CONTROLS)
  if unknown:
    raise errors.InputError(
        f'--controls={",".join(_CONTROLS.value)}: expected some of '
        f'{", ".join(compression_job.CONTROLS)}')
  if _DRY_RUN.value:
    config = config_lib.from_mapping(_CONFIG.value)
    training.dry_run(config, optimizer_factories.FACTORIES)
    print(f'{config.training.steps} steps of fine-tuning; no data was read')
    return
  study = _study()
  try:
    variants = _variants(study)
  except KeyboardInterrupt:
    raise errors.InputError(
        'stopped; the same command goes on from the last checkpoint') from None
  scores = compression_job.score(study, variants)
  rates = _bd_rates(study.config, variants)
  path = study.folder / 'report.json'
  atomic_file.write_json(
      path, compression_job.summary(study, variants, scores, rates)
      | {'run': run_record.describe(
          dataclasses.asdict(study.config) | {
              'filter': _FILTER.value, 'controls': _CONTROLS.value,
              'every': _EVERY.value},
          study.config.training.seed)})
  print(compression.format_table(
      compression.layer_table(study.source, variants['compressed'])))
  print('\nPSNR gain over the unfiltered reconstruction, dB')
  print(compression_job.format_scores(scores))
  print()
  print(compression_job.format_overview(study, variants, scores, rates))
  print(f'Written to {path}')


if __name__ == '__main__':
  command_line.run(main)
