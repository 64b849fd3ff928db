"""Reads and writes the folder of an exported filter; NumPy alone is needed.

  filter.json   what the filter is, to read; checksums of the other files
  filter.npz    the integers, their lengths and bit widths, a known answer

docs/dfp-format.md specifies both. Beside them export.py puts a SavedModel.
"""

from collections.abc import Iterable
from collections.abc import Mapping
import hashlib
import io
import json
import os
import pathlib
import re

import numpy as np

from cnn_loopfilter import atomic_file
from cnn_loopfilter import errors
from cnn_loopfilter import integer_arrays
from cnn_loopfilter import integer_graph

FORMAT = 'cnn_loopfilter dynamic fixed point filter'
VERSION = 1
JSON_NAME, NPZ_NAME = 'filter.json', 'filter.npz'

# Columns of the array `formats`, one row a layer.
_COLUMNS = ('weight_fl', 'bias_fl', 'output_fl', 'weight_bits', 'bias_bits',
            'output_bits', 'relu')
_VECTOR = ('reconstruction', 'qp', 'residual', 'filtered')
# Far above any filter that a decoder could run.
_MAX_BYTES = 64 * 2 ** 20
_MAX_JSON_BYTES = 2 ** 20
_MAX_FILES = 16
_FILE_NAME = re.compile('[A-Za-z0-9_.-]{1,64}(/[A-Za-z0-9_.-]{1,64}){0,3}')


def save(filter_: integer_graph.IntegerFilter, folder: str | os.PathLike,
         others: Iterable[str] = ()) -> None:
  """Writes filter.npz and filter.json.

  Args:
    filter_: the filter.
    folder: an existing folder.
    others: more files in it, by their path inside, whose checksums are kept.
  """
  folder = pathlib.Path(folder)
  content = io.BytesIO()
  np.savez(content, **_arrays(filter_))
  with atomic_file.replacing(folder / NPZ_NAME) as stream:
    stream.write(content.getvalue())
  files = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
           for name in (NPZ_NAME, *sorted(others))}
  atomic_file.write_json(folder / JSON_NAME, describe(filter_)
                         | {'sha256': files})


def describe(filter_: integer_graph.IntegerFilter) -> dict:
  """Returns what filter.json says beside the checksums."""
  layers = []
  for layer, step in zip(filter_.layers, filter_.plan):
    edge, _, inputs, outputs = layer.weights.shape
    told = {'kernel': edge, 'inputs': inputs, 'outputs': outputs}
    told |= {name: getattr(layer, name) for name in _COLUMNS}
    layers.append(told | {'bound': int(step.bound.max())})
  return {'format': FORMAT, 'version': VERSION, 'depth': filter_.depth,
          'macs_per_sample': filter_.macs_per_sample, 'layers': layers,
          'description': dict(filter_.description)}


def _arrays(filter_):
  arrays = {
      'version': np.int32(VERSION), 'depth': np.int32(filter_.depth),
      'formats': np.array([[int(getattr(layer, name)) for name in _COLUMNS]
                           for layer in filter_.layers], np.int32)}
  for i, layer in enumerate(filter_.layers):
    arrays[f'weights_{i}'] = layer.weights.astype(_dtype(layer.weight_bits))
    arrays[f'biases_{i}'] = layer.biases.astype(_dtype(layer.bias_bits))
  if filter_.vector is not None:
    arrays |= {f'vector_{name}': getattr(filter_.vector, name)
               for name in _VECTOR}
  return arrays


def _dtype(bits):
  """The smallest integer type of the file that holds so many bits."""
  return np.dtype('|i1' if bits <= 8 else '<i2' if bits <= 16 else '<i4')


def load(folder: str | os.PathLike) -> integer_graph.IntegerFilter:
  """Reads a filter and checks all of it.

  Nothing is unpickled, and no array is read whose size was not checked.

  Raises:
    InputError: if the folder is no such artefact, of another version, a
      checksum differs, or the parts do not fit together.
    OSError: if a file cannot be read.
  """
  folder = pathlib.Path(folder)
  told = _read_json(folder / JSON_NAME)
  content = _checked_bytes(folder, told['sha256'])
  try:
    filter_ = parse(content, told['description'])
  except errors.InputError as error:
    raise errors.InputError(f'{folder / NPZ_NAME}: {error}') from error
  if describe(filter_) != {
      key: value for key, value in told.items() if key != 'sha256'}:
    raise errors.InputError(
        f'{folder}: {JSON_NAME} and {NPZ_NAME} describe different filters')
  return filter_


def _read_json(path):
  if not path.is_file():
    raise errors.InputError(f'{path}: no such file, expected a folder that '
                            'export_dfp.py has written')
  try:
    told = json.loads(_read_at_most(path, _MAX_JSON_BYTES))
  except (ValueError, RecursionError) as error:
    if isinstance(error, errors.InputError):
      raise
    raise errors.InputError(f'{path}: not JSON ({error})') from error
  if not isinstance(told, dict) or told.get('format') != FORMAT:
    raise errors.InputError(f'{path}: expected "format": "{FORMAT}"')
  if told.get('version') != VERSION:
    raise errors.InputError(f'{path}: got version {told.get("version")}, '
                            f'expected {VERSION}')
  if not (isinstance(told.get('sha256'), dict)
          and isinstance(told['sha256'].get(NPZ_NAME), str)
          and isinstance(told.get('description'), dict)):
    raise errors.InputError(
        f'{path}: expected "description" and "sha256" of {NPZ_NAME}')
  return told


def _checked_bytes(folder, digests):
  """Returns filter.npz; other files may be left out, but not changed."""
  content = b''
  if len(digests) > _MAX_FILES:
    raise errors.InputError(f'{folder / JSON_NAME}: {len(digests)} files, '
                            f'expected at most {_MAX_FILES}')
  for name, digest in digests.items():
    if not _FILE_NAME.fullmatch(name) or '..' in name:
      raise errors.InputError(f'{folder / JSON_NAME}: file name {name!r}, '
                              'expected one inside the folder')
    path = folder / name
    if name != NPZ_NAME and not path.exists():
      continue
    data = _read_at_most(path, _MAX_BYTES)
    if hashlib.sha256(data).hexdigest() != digest:
      raise errors.InputError(
          f'{path}: its checksum differs from the one in {JSON_NAME} '
          '(damaged, or of another export)')
    if name == NPZ_NAME:
      content = data
  return content


def _read_at_most(path, limit):
  if not path.is_file():
    raise errors.InputError(f'{path}: no such file')
  with open(path, 'rb') as stream:
    data = stream.read(limit + 1)
  if len(data) > limit:
    raise errors.InputError(f'{path}: expected at most {limit} bytes')
  return data


def parse(content: bytes, description: Mapping) -> integer_graph.IntegerFilter:
  """Reads the bytes of filter.npz.

  Args:
    content: the whole file.
    description: what filter.json says about the filter's origin.

  Raises:
    InputError: if the bytes are no such file, or the filter is not valid.
  """
  arrays = integer_arrays.read(content)
  version = _scalar(arrays, 'version')
  if version != VERSION:
    raise errors.InputError(f'got version {version}, expected {VERSION}')
  formats = _get(arrays, 'formats', 2)
  if formats.shape[1] != len(_COLUMNS) or (
      len(formats) > integer_graph.MAX_LAYERS):
    raise errors.InputError(
        f'formats: got {list(formats.shape)}, expected '
        f'[1 to {integer_graph.MAX_LAYERS}, {len(_COLUMNS)}]')
  layers = []
  for i, row in enumerate(formats.tolist()):
    told = dict(zip(_COLUMNS, row))
    if told['relu'] not in (0, 1):
      raise errors.InputError(
          f'layer {i}: got relu {told["relu"]}, expected 0 or 1')
    told['relu'] = bool(told['relu'])
    layers.append(integer_graph.Layer(
        _get(arrays, f'weights_{i}', 4), _get(arrays, f'biases_{i}', 1),
        **told))
  vector = None
  if 'vector_qp' in arrays:
    vector = integer_graph.TestVector(*(
        _get(arrays, f'vector_{name}', 1 if name == 'qp' else 4)
        for name in _VECTOR))
  return integer_graph.IntegerFilter(
      _scalar(arrays, 'depth'), tuple(layers), description, vector)


def _get(arrays, name, axes):
  if name not in arrays or arrays[name].ndim != axes:
    raise errors.InputError(f'{name}: missing, or not of {axes} axes')
  return arrays[name].astype(np.int32)


def _scalar(arrays, name):
  return int(_get(arrays, name, 0))
