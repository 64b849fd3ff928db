"""Frames and a codec to a folder of training records."""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
import concurrent.futures
import dataclasses
import itertools
import json
import math
import pathlib

import numpy as np

from cnn_loopfilter import atomic_file
from cnn_loopfilter import data_config
from cnn_loopfilter import errors
from cnn_loopfilter import frames as frames_lib
from cnn_loopfilter import records
from cnn_loopfilter.codec import base


def squared_error(first: np.ndarray, second: np.ndarray) -> int:
  """Returns the sum of squared differences of two planes of integers."""
  difference = first.astype(np.int64) - second
  return int(np.sum(difference * difference))


def psnr(error: int, samples: int, depth: int) -> float:
  """Returns 10 log10(peak^2 / mean squared error) in dB.

  Args:
    error: sum of squared differences.
    samples: how many were summed over.
    depth: bits of a sample; the peak is 2^depth - 1.

  Returns:
    dB; infinity for equal planes.
  """
  if not error:
    return math.inf
  return 10 * math.log10((2 ** depth - 1) ** 2 * samples / error)


def cut_patches(original: np.ndarray, reconstruction: np.ndarray, *,
                size: int, stride: int) -> Iterator[
                    tuple[int, int, np.ndarray, np.ndarray]]:
  """Yields (x, y, original, reconstruction) of a grid from the upper left.

  Args:
    original: plane [height, width].
    reconstruction: the same after coding.
    size: edge of a patch; a plane with a smaller edge gives none.
    stride: distance of neighbouring patches.
  """
  height, width = original.shape
  for y in range(0, height - size + 1, stride):
    for x in range(0, width - size + 1, stride):
      window = (slice(y, y + size), slice(x, x + size))
      yield x, y, original[window], reconstruction[window]


def prepare(sequences: Sequence[frames_lib.Sequence], codec: base.Codec,
            output: str | pathlib.Path, config: data_config.DataConfig, *,
            every: int = 1, limit: int | None = None,
            on_picture: Callable[[int, int, str], None] = lambda *_: None
            ) -> dict:
  """Codes every frame at every QP and writes the folder of records.

  The folder appears when it is whole. Two runs write the same bytes.

  Args:
    sequences: where the frames come from.
    codec: asked for unfiltered reconstructions.
    output: folder to make; must not exist or be empty.
    config: patches, QPs and order.
    every: every so many frames of a sequence, from the first.
    limit: at most so many frames of a sequence, after `every`.
    on_picture: told (done, total, name) after each frame.

  Returns:
    What `index.json` holds.

  Raises:
    InputError: if `output` has files, a sequence has another depth, no patch
      comes out, or the codec fails.
  """
  output = pathlib.Path(output)
  if output.exists() and (not output.is_dir() or any(output.iterdir())):
    raise errors.InputError(
        f'{output}: exists and is not empty, expected a new folder')
  for sequence in sequences:
    if sequence.format.depth != config.depth:
      raise errors.InputError(
          f'{sequence.name}: got {sequence.format.depth} bits, expected '
          f'{config.depth} as config key data.depth says')
  with atomic_file.replacing_folder(output) as folder:
    spool = folder / 'patches.spool'
    with open(spool, 'wb') as stream:
      pictures, counts = _code_all(
          _frames(sequences, every, limit), codec, stream, config, on_picture)
    dtype = records.spool_dtype(config.patch_size, config.depth)
    if not spool.stat().st_size:
      raise errors.InputError(
          f'data.patch_size: got {config.patch_size}, expected planes of that '
          'size at least; no patch came out')
    patches = np.memmap(spool, dtype, mode='r')
    shards = records.write_shards(
        patches, folder, seed=config.shuffle_seed,
        patches_per_shard=config.patches_per_shard)
    del patches
    spool.unlink()
    index = {
        'version': records.VERSION, 'codec': codec.description,
        'patch_size': config.patch_size, 'depth': config.depth,
        'config': dataclasses.asdict(config), 'patches': counts,
        'pictures': pictures, 'shards': shards}
    atomic_file.write_json(folder / records.INDEX, index)
  return json.loads(json.dumps(index))


def _frames(sequences, every, limit):
  """Returns [(name, frame, total)] lazily, all sequences in a row."""
  def count(sequence):
    taken = -(-sequence.count // every)
    return taken if limit is None else min(taken, limit)

  total = sum(map(count, sequences))
  for sequence in sequences:
    chosen = itertools.islice(sequence.open(), 0, None, every)
    for number, frame in enumerate(itertools.islice(chosen, limit)):
      name = (sequence.name if sequence.count == 1
              else f'{sequence.name}[{number * every}]')
      yield name, frame, total


def _code_all(frames: Iterable, codec, stream, config, on_picture):
  """Spools all patches; returns the pictures' lines and counts by component."""
  pictures, counts = [], dict.fromkeys(frames_lib.COMPONENTS, 0)
  # Two at a time: the codec leaves Python's lock while it works.
  with concurrent.futures.ThreadPoolExecutor(2) as pool:
    for number, (name, frame, total) in enumerate(frames):
      coded = list(pool.map(
          lambda qp, frame=frame: next(codec.encode([frame], qp, 'none')),
          config.qps))
      line = {'name': name, 'width': frame.format.width,
              'height': frame.format.height, 'chroma': frame.format.chroma,
              'qps': {}}
      for qp, one in zip(config.qps, coded):
        line['qps'][str(qp)] = measure(frame, one)
        patches = _patches(frame, one.reconstruction, number, qp, config)
        stream.write(patches.tobytes())
        for component, count in enumerate(np.bincount(patches['component'])):
          counts[frames_lib.COMPONENTS[component]] += int(count)
      pictures.append(line)
      on_picture(number + 1, total, name)
  return pictures, counts


def measure(frame: frames_lib.Frame, coded: base.Coded) -> dict:
  """Returns bits, and squared error and PSNR (dB; None: equal) by component."""
  depth = frame.format.depth
  error = [squared_error(*pair)
           for pair in zip(frame.planes, coded.reconstruction.planes)]
  decibels = [psnr(value, plane.size, depth)
              for value, plane in zip(error, frame.planes)]
  return {'bits': coded.bits, 'squared_error': error,
          'psnr': [None if math.isinf(value) else value for value in decibels]}


def _patches(frame, reconstruction, picture, qp, config):
  """Returns all patches of one coded frame as [count] of `spool_dtype`."""
  rows = []
  for component, (original, coded) in enumerate(
      zip(frame.planes, reconstruction.planes)):
    stride = config.chroma_stride if component else config.stride
    rows += [(qp, component, picture, x, y, after, before)
             for x, y, before, after in cut_patches(
                 original, coded, size=config.patch_size, stride=stride)]
  return np.array(rows, records.spool_dtype(config.patch_size, config.depth))
