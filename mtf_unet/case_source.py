"""Random access to prepared cases, as the network sees them."""

import dataclasses
import os
import threading

import numpy as np
import tensorflow_datasets as tfds

from mtf_unet import config as config_lib
from mtf_unet import errors
from mtf_unet import medical_dataset
from mtf_unet import preprocess
from mtf_unet import splits


@dataclasses.dataclass(frozen=True)
class Case:
  """One scan and its truth.

  Attributes:
    name: of the case.
    image: float32 [x, y, z, channels], normalised, of the network's size;
      with `patches`, of no less than that.
    label: uint8 [x, y, z], of the image's size.
    native_label: uint8, the truth on the file's own grid.
    native_spacing_mm: voxel size of `native_label` along its axes.
    geometry: takes a label map of the network's size to the file's grid.
  """
  name: str
  image: np.ndarray
  label: np.ndarray
  native_label: np.ndarray
  native_spacing_mm: tuple[float, float, float]
  geometry: preprocess.Geometry


class CaseSource:
  """The cases of one split; `source[i]` is a Case.

  Args:
    records: random access to the prepared examples.
    indices: which of them belong to this split.
    data_config: how to normalise and pad; with `cache`, every case is kept in
      memory from its first use on.
  """

  def __init__(self, records, indices: list[int],
               data_config: config_lib.DataConfig):
    self._records = records
    self._indices = indices
    self._data_config = data_config
    self._cache = {}
    # Threads of an input pipeline share one source.
    self._lock = threading.Lock()

  def __len__(self) -> int:
    return len(self._indices)

  def __getitem__(self, index: int) -> Case:
    if not 0 <= index < len(self):
      raise IndexError(f'case {index} of {len(self)}')
    with self._lock:
      if index in self._cache:
        return self._cache[index]
      case = self._read(self._indices[index])
      if self._data_config.cache:
        self._cache[index] = case
      return case

  def _read(self, position):
    record = self._records[position]
    name = record['name'].decode('utf-8')
    size = (preprocess.holding_size(record['image'].shape[:3],
                                    self._data_config)
            if self._data_config.patches else None)
    image, geometry = preprocess.to_input(
        record['image'], preprocess.Geometry.from_numbers(record['geometry']),
        self._data_config, size, name)
    return Case(
        name=name, image=image,
        label=np.pad(record['label'], geometry.padding),
        native_label=record['native_label'],
        native_spacing_mm=geometry.native_spacing_mm, geometry=geometry)


def open_split(data_dir: str | os.PathLike, data_config: config_lib.DataConfig,
               split: str, fold: int | None = None) -> CaseSource:
  """Opens one split of prepared data.

  Args:
    data_dir: filled by scripts/mtf_unet/prepare_volumes.py.
    data_config: with `folds` > 0, both splits come from the training cases.
    split: 'train' or 'validation'.
    fold: takes the place of `data_config.fold`.

  Raises:
    InputError: if nothing is prepared there, or with other settings.
  """
  if fold is not None:
    data_config = dataclasses.replace(data_config, fold=fold)
  if split not in (splits.TRAIN, splits.VALIDATION):
    raise errors.InputError(
        f"split: got {split!r}, expected 'train' or 'validation'")
  medical_dataset.check_settings(data_dir, data_config)
  builder = tfds.builder_from_directory(
      medical_dataset.prepared_folder(data_dir))
  if not data_config.folds:
    records = builder.as_data_source(split)
    return CaseSource(records, list(range(len(records))), data_config)
  records = builder.as_data_source(splits.TRAIN)
  names = [records[i]['name'].decode('utf-8') for i in range(len(records))]
  parts = splits.fold_indices(
      names, data_config.fold, data_config.folds, data_config.split_seed)
  return CaseSource(records, parts[split], data_config)
