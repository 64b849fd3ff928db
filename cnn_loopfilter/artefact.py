"""Reads and writes the folder of an exported filter; NumPy alone is needed.

  filter.json   what the filter is, to read; checksums of the other files
  filter.npz    the integers, their lengths and bit widths, a known answer

docs/dfp-format.md specifies both. Beside them export.py puts a SavedModel.
"""

from collections.abc import Iterable
import hashlib
import io
import json
import math
import os
import pathlib
import tokenize
import zipfile

import numpy as np

from cnn_loopfilter import atomic_file
from cnn_loopfilter import errors
from cnn_loopfilter import integer_graph

FORMAT = 'cnn_loopfilter dynamic fixed point filter'
VERSION = 1
JSON_NAME, NPZ_NAME = 'filter.json', 'filter.npz'

# Columns of the array `formats`, one row a layer.
_COLUMNS = ('weight_fl', 'bias_fl', 'output_fl', 'weight_bits', 'bias_bits',
            'output_bits', 'relu')
_VECTOR = ('reconstruction', 'qp', 'residual', 'filtered')
_MAX_LAYERS = 64
# Far above any filter that a decoder could run.
_MAX_BYTES = 64 * 2 ** 20
_MAX_JSON_BYTES = 2 ** 20


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
  path = folder / NPZ_NAME
  try:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
      arrays = _read_arrays(archive)
    filter_ = _parse(arrays, told['description'])
  except (zipfile.BadZipFile, KeyError, ValueError, EOFError, TypeError,
          OverflowError, SyntaxError, tokenize.TokenError) as error:
    raise errors.InputError(f'{path}: {error}') from error
  if json.loads(json.dumps(describe(filter_))) != {
      key: value for key, value in told.items() if key != 'sha256'}:
    raise errors.InputError(
        f'{folder}: {JSON_NAME} and {NPZ_NAME} describe different filters')
  return filter_


def _read_json(path):
  try:
    with open(path, 'rb') as stream:
      text = stream.read(_MAX_JSON_BYTES + 1)
    if len(text) > _MAX_JSON_BYTES:
      raise ValueError('too long')
    told = json.loads(text)
  except FileNotFoundError as error:
    raise errors.InputError(f'{path}: no such file, expected a folder that '
                            'export_dfp.py has written') from error
  except (ValueError, RecursionError) as error:
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
  for name, digest in digests.items():
    if pathlib.PurePosixPath(name).is_absolute() or '..' in name:
      raise errors.InputError(f'{folder / JSON_NAME}: file name {name!r}, '
                              'expected one inside the folder')
    path = folder / name
    if name != NPZ_NAME and not path.exists():
      continue
    if path.stat().st_size > _MAX_BYTES:
      raise errors.InputError(f'{path}: {path.stat().st_size} bytes, expected '
                              f'at most {_MAX_BYTES}')
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != digest:
      raise errors.InputError(
          f'{path}: its checksum differs from the one in {JSON_NAME} '
          '(damaged, or of another export)')
    if name == NPZ_NAME:
      content = data
  return content


def _read_arrays(archive):
  arrays, left = {}, _MAX_BYTES
  for info in archive.infolist():
    name = info.filename.removesuffix('.npy')
    with archive.open(info) as stream:
      # Only its header; a forged one asks for more memory than there is data.
      if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError(f'{name}: expected the .npy format 1.0')
      shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
      size = math.prod(shape) * dtype.itemsize
      if dtype.kind != 'i' or len(shape) > 4:
        raise ValueError(f'{name}: {dtype} {list(shape)}, expected integers '
                         'of at most 4 axes')
      if size > left or stream.tell() + size != info.file_size:
        raise ValueError(f'{name}: {list(shape)} items do not fit the '
                         f'{info.file_size} bytes in the file')
    left -= size
    with archive.open(info) as stream:
      arrays[name] = np.lib.format.read_array(stream, allow_pickle=False)
  return arrays


def _parse(arrays, description):
  if int(arrays['version']) != VERSION:
    raise ValueError(f'got version {arrays["version"]}, expected {VERSION}')
  formats = arrays['formats']
  if (formats.ndim != 2 or formats.shape[1] != len(_COLUMNS)
      or not 1 <= len(formats) <= _MAX_LAYERS):
    raise ValueError(f'formats: got {list(formats.shape)}, expected '
                     f'[1 to {_MAX_LAYERS}, {len(_COLUMNS)}]')
  layers = []
  for i, row in enumerate(formats.tolist()):
    told = dict(zip(_COLUMNS, row))
    told['relu'] = bool(told['relu'])
    layers.append(integer_graph.Layer(
        arrays[f'weights_{i}'].astype(np.int32),
        arrays[f'biases_{i}'].astype(np.int32), **told))
  vector = None
  if 'vector_qp' in arrays:
    vector = integer_graph.TestVector(*(
        arrays[f'vector_{name}'].astype(np.int32) for name in _VECTOR))
  return integer_graph.IntegerFilter(
      int(arrays['depth']), tuple(layers), description, vector)
