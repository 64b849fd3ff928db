"""A tensorflow-datasets builder for folders of scans with label maps.

Prepared data holds each scan in canonical orientation and resampled, in the
file's own units: normalisation and padding are done when a case is read, so
they may change without preparing again. The format is ArrayRecord, for random
access. tensorflow-datasets writes into a temporary folder and renames it at
the end, so a preparation that fails leaves nothing that looks prepared.
"""

import collections.abc
import os
import pathlib
import tempfile

import numpy as np
import tensorflow_datasets as tfds

from mtf_unet import config as config_lib
from mtf_unet import errors
from mtf_unet import preprocess
from mtf_unet import raw_folders
from mtf_unet import splits

_CONFIG_NAME = 'volumes'
_VERSION = '1.0.0'


class MedicalDatasetConfig(tfds.core.BuilderConfig):
  """What a preparation depends on.

  Args:
    input_dir: folder of raw scans.
    data_config: channels, num_classes, spacing_mm, fit, size and the split
      by fraction count here.
    split_file: JSON with the cases of each split; '' takes `split.json` of
      the folder, and a split by fraction where there is none.
    on_case: called with (cases done, cases in all, name) after each case.
  """

  def __init__(self, *, input_dir: str, data_config: config_lib.DataConfig,
               split_file: str = '',
               on_case: collections.abc.Callable[[int, int, str], None]
               | None = None):
    super().__init__(name=_CONFIG_NAME, version=_VERSION,
                     description='Scans with label maps.')
    self.input_dir = pathlib.Path(input_dir)
    self.data_config = data_config
    self.split_file = split_file
    self.on_case = on_case or (lambda done, total, name: None)


class MedicalDataset(tfds.core.GeneratorBasedBuilder):
  """Scans and label maps of one folder, in the splits train and validation."""

  VERSION = tfds.core.Version(_VERSION)

  def _info(self) -> tfds.core.DatasetInfo:
    return _LocalInfo(
        builder=self,
        description='Scans with label maps, on the resampled grid.',
        features=tfds.features.FeaturesDict({
            'name': tfds.features.Text(),
            'image': tfds.features.Tensor(
                shape=(None, None, None,
                       self.builder_config.data_config.channels),
                dtype=np.float32, encoding='bytes'),
            'label': _label_feature(),
            'native_label': _label_feature(),
            'geometry': tfds.features.Tensor(shape=(18,), dtype=np.float64,
                                             encoding='bytes'),
        }),
        metadata=tfds.core.MetadataDict(
            settings(self.builder_config.data_config)))

  def _split_generators(self, dl_manager):
    config = self.builder_config
    cases = {case.name: case
             for case in raw_folders.find_cases(config.input_dir)}
    parts = _split(config, sorted(cases))
    self._total = sum(map(len, parts.values()))
    self._done = 0
    self.info.metadata['largest_grid'] = [0, 0, 0]
    return {part: self._generate_examples([cases[name] for name in names])
            for part, names in parts.items()}

  def _generate_examples(self, cases):
    config = self.builder_config.data_config
    metadata = self.info.metadata
    for case in cases:
      image, label = raw_folders.read_case(case, config.num_classes)
      grid, geometry = preprocess.to_grid(image, config)
      metadata['largest_grid'] = [max(pair) for pair in zip(
          metadata['largest_grid'], geometry.grid_shape)]
      yield case.name, {
          'name': case.name,
          'image': np.ascontiguousarray(grid),
          'label': preprocess.label_to_grid(label.array, geometry),
          'native_label': label.array,
          'geometry': geometry.to_numbers(),
      }
      self._done += 1
      self.builder_config.on_case(self._done, self._total, case.name)


class _LocalInfo(tfds.core.DatasetInfo):
  """Stays on this machine: no look-up of the data set in a public bucket."""

  def initialize_from_bucket(self) -> None:
    """Leaves the description as the builder made it."""


def settings(data_config: config_lib.DataConfig) -> dict:
  """Returns, as plain JSON, the config keys that prepared data depends on."""
  chosen = {
      'num_classes': data_config.num_classes,
      'channels': data_config.channels,
      'spacing_mm': data_config.spacing_mm and list(data_config.spacing_mm),
      'fit': data_config.fit,
  }
  if data_config.fit == 'resize':
    chosen['size'] = list(data_config.size)
  return chosen


def prepared_folder(data_dir: str | os.PathLike) -> pathlib.Path:
  """Returns the folder within `data_dir` that a preparation fills."""
  return pathlib.Path(data_dir) / MedicalDataset.name / _CONFIG_NAME / _VERSION


def check_settings(data_dir: str | os.PathLike,
                   data_config: config_lib.DataConfig) -> dict:
  """Refuses a config that differs from what `data_dir` was prepared with.

  Args:
    data_dir: that `prepare` filled.
    data_config: to train, evaluate or prepare with.

  Returns:
    The metadata: the settings and 'largest_grid', the largest edge of any
    volume along x, y and z.

  Raises:
    InputError: if nothing is prepared there, a setting differs (naming the
      key), or the largest volume does not fit `data_config.size` (which only
        patches of it need to, with `patches`).
  """
  folder = prepared_folder(data_dir)
  if not folder.is_dir():
    raise errors.InputError(
        f'{data_dir}: no prepared data; run scripts/mtf_unet/'
        f'prepare_volumes.py --config=CONFIG --input=FOLDER '
        f'--data_dir={data_dir}')
  metadata = tfds.core.MetadataDict()
  metadata.load_metadata(folder)
  for key, want in settings(data_config).items():
    if metadata.get(key) != want:
      raise errors.InputError(
          f'{data_dir}: prepared with data.{key}={metadata.get(key)}, expected '
          f'{want}; prepare into another folder or change the config')
  if not data_config.patches:
    preprocess.check_fits(metadata['largest_grid'], data_config.size,
                          f'{data_dir}: largest volume')
  return dict(metadata)


def prepare(input_dir: str | os.PathLike, data_dir: str | os.PathLike,
            data_config: config_lib.DataConfig, *, split_file: str = '',
            on_case: collections.abc.Callable[[int, int, str], None]
            | None = None) -> dict[str, int]:
  """Reads a folder of raw scans and writes prepared data.

  Where `data_dir` was prepared before with the same settings, nothing is done.

  Args:
    input_dir: Decathlon layout, LiTS layout or the reference's records.
    data_dir: where to.
    data_config: see `MedicalDatasetConfig`.
    split_file: see `MedicalDatasetConfig`.
    on_case: see `MedicalDatasetConfig`.

  Returns:
    The number of cases in each split.

  Raises:
    InputError: for bad input, naming the file.
    OSError: if the disk is full. In both cases nothing is left behind.
  """
  builder = MedicalDataset(
      data_dir=os.fspath(data_dir), file_format='array_record',
      config=MedicalDatasetConfig(
          input_dir=input_dir, data_config=data_config, split_file=split_file,
          on_case=on_case))
  try:
    # tensorflow-datasets makes folders for downloads, which stay empty.
    with tempfile.TemporaryDirectory() as downloads:
      builder.download_and_prepare(
          download_dir=downloads,
          download_config=tfds.download.DownloadConfig(
              try_download_gcs=False, compute_stats='skip'))
  except RuntimeError as error:
    # ArrayRecord's word for a full disk.
    if 'write() failed' not in str(error):
      raise
    raise OSError(
        f'{data_dir}: cannot write prepared data ({error})') from error
  check_settings(data_dir, data_config)
  return {name: split.num_examples
          for name, split in builder.info.splits.items()}


def _label_feature():
  return tfds.features.Tensor(
      shape=(None, None, None), dtype=np.uint8, encoding='zlib')


def _split(config, names):
  split_file = config.split_file or config.input_dir / 'split.json'
  if config.split_file or split_file.is_file():
    return splits.from_file(split_file, names)
  data_config = config.data_config
  return splits.by_fraction(
      names, data_config.validation_fraction, data_config.split_seed)
