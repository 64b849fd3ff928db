"""Quantizes a trained filter and writes the folder that decoders load.

  python scripts/cnn_loopfilter/export_dfp.py \
      --config=configs/cnn_loopfilter/filter_64.py --input=FILTER.npz \
      --records=PATCHES --output=FOLDER --fine_tune_steps=2000

FILTER.npz is what train.py --mode=export writes, PATCHES what
prepare_frames.py writes (the training's, not the ones that results are
measured on). Bit widths: --config.quantization.output_bits=16. --depth=10
exports for 10-bit video on the same patches, shifted up; an exported filter
goes to more bits by change_depth.py. Fine-tuning that was stopped goes on
where it was; its checkpoints stay in FOLDER.fine_tuning.
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
import item_progress

from cnn_loopfilter import calibration as calibration_lib
from cnn_loopfilter import config as config_lib
from cnn_loopfilter import equalization
from cnn_loopfilter import errors
from cnn_loopfilter import export
from cnn_loopfilter import fine_tuning
from cnn_loopfilter import float_filter
from cnn_loopfilter import length_search
from cnn_loopfilter import quantizer
from cnn_loopfilter import records
from cnn_loopfilter import rounding

_CONFIG = command_line.define_config(config_lib.Config)
_INPUT = flags.DEFINE_string('input', None, 'Float filter (.npz).')
_RECORDS = flags.DEFINE_string('records', None, 'Patches to calibrate on.')
_OUTPUT = flags.DEFINE_string('output', None, 'Folder to write.')
_DEPTH = flags.DEFINE_integer(
    'depth', None, "Bits of the exported filter's samples, instead of those "
    'that it was trained on; more of them.')
_PATCHES = flags.DEFINE_integer(
    'patches', 256, 'Patches that the lengths are searched on.', lower_bound=1)
_EQUALIZE = flags.DEFINE_bool(
    'equalize', True, 'First even out the channels, which costs nothing.')
_SWEEPS = flags.DEFINE_integer(
    'sweeps', 2, 'Times the search goes through the layers; 0: none.',
    lower_bound=0)
_STEPS = flags.DEFINE_integer(
    'fine_tune_steps', 0, 'Steps of training through the quantizer.',
    lower_bound=0)
_RATE = flags.DEFINE_float(
    'fine_tune_learning_rate', 1e-4, 'Its learning rate at the start.',
    lower_bound=0.0)
_SEED = 20000  # Other patches than the training begins with.
flags.mark_flags_as_required(['input', 'records', 'output'])


def _choose(source, judge, config, calibration):
  """Chooses the lengths; says what they cost."""
  lengths = length_search.best_start(judge, source, config, calibration)
  print(f'The float filter gains {judge.gain_db():.4f} dB on '
        f'{len(calibration.qp)} patches; the first lengths lose '
        f'{judge.loss_db(lengths):.4f} dB of it', flush=True)
  if _SWEEPS.value:
    lengths, loss = length_search.search(
        judge, source, config, lengths, sweeps=_SWEEPS.value,
        on_layer=item_progress.ItemProgress('layer'))
    print(f'The lengths found lose {loss:.4f} dB', flush=True)
  return lengths


def _tell_loss(when, judge, changed, lengths, config, calibration):
  """Says what a changed filter loses, rounded, of the first one's gain."""
  own = length_search.Judge(changed, config, calibration)
  loss = judge.gain_db() - own.gain_db() + own.loss_db(lengths)
  print(f'{when} they lose {loss:.4f} dB', flush=True)


def _fine_tune(source, config, lengths):
  patches = functools.partial(
      _batches, config.training.batch_size, config.training.seed + _SEED)
  return fine_tuning.fine_tune(
      source, config.quantization, lengths, patches,
      fine_tuning.FineTuning(_STEPS.value, _RATE.value,
                             config.optimizer.clip_norm or 1e9),
      _OUTPUT.value.rstrip('/') + '.fine_tuning',
      on_step=item_progress.ItemProgress('step'))


def _to_integers(source, config, calibration):
  """Chooses lengths, rounds, trains on; says what each step costs."""
  bits = config.quantization
  judge = length_search.Judge(source, bits, calibration)
  lengths = _choose(source, judge, bits, calibration)
  source = rounding.rounded(source, bits, lengths)
  _tell_loss('With the sums of the kernels kept', judge, source, lengths, bits,
             calibration)
  if _STEPS.value:
    source = _fine_tune(source, config, lengths)
    _tell_loss('After fine-tuning', judge, source, lengths, bits, calibration)
  return quantizer.to_integers(source, bits, lengths)


def _batches(batch_size, seed, start_step):
  return records.training_dataset(
      _RECORDS.value, batch_size=batch_size, seed=seed,
      start_step=start_step, augment=True)


def main() -> None:
  """Exports one filter."""
  if os.path.exists(_OUTPUT.value):
    raise errors.InputError(f'--output: {_OUTPUT.value} exists already, '
                            'expected the name of a new folder')
  config = config_lib.from_mapping(_CONFIG.value)
  source = float_filter.load(_INPUT.value)
  depth = records.check_shards(_RECORDS.value)['depth']
  if depth != source.depth:
    raise errors.InputError(f'--records: patches of {depth} bits, expected '
                            f'{source.depth} as the filter was trained on')
  if _DEPTH.value is not None:
    if _DEPTH.value < depth:
      raise errors.InputError(f'--depth: got {_DEPTH.value}, expected {depth} '
                              'or more')
    # Inputs are sample / 2^depth: the weights mean the same.
    depth = _DEPTH.value
    source = dataclasses.replace(source, depth=depth)
  if _EQUALIZE.value:
    source = equalization.within_finer_lengths(equalization.equalized(source))
  batches = _batches(config.training.batch_size, _SEED, 0)
  calibration = calibration_lib.from_batches(
      batches.as_numpy_iterator(), _PATCHES.value, depth)
  filter_ = _to_integers(source, config, calibration)
  export.save(filter_, _OUTPUT.value)
  print(export.format_table(filter_))
  print(f'{filter_.macs_per_sample} MACs a sample. Written to '
        f'{_OUTPUT.value}')


if __name__ == '__main__':
  command_line.run(main)
