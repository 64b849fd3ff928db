"""What fuzz.py throws damaged files at, and what a right answer is.

A target makes a case out of a random.Random, writes its files into a folder
and calls the reader. It returns whether the input was taken; that it was
refused is an InputError. Any other exception is a failure, and Mismatch tells
one that no exception shows. A further reader is one function and one line in
TARGETS.
"""

from collections.abc import Callable
import hashlib
import io
import json
import os
import pathlib
import random
import shutil
import struct
import subprocess
import tempfile
import typing
import zlib

import fuzz_mutations
import numpy as np

from cnn_loopfilter import artefact
from cnn_loopfilter import blocks
from cnn_loopfilter import errors
from cnn_loopfilter import frame_files
from cnn_loopfilter import frames
from cnn_loopfilter import integer_graph
from cnn_loopfilter import reference_c
from cnn_loopfilter import runtime
from cnn_loopfilter import side_file
from cnn_loopfilter import switch_coding

# Of small frames of many formats, and some that are of none.
_YUV_BYTES = (0, 1, 16, 20, 24, 25, 30, 32, 36, 40, 48, 50, 54, 60, 72, 75, 90,
              96, 108, 144, 5000)
# What an accepted filter is run on costs at most so many products.
_MAX_MACS = 2 * 10 ** 6
_SAMPLES = np.arange(20, dtype=np.uint16).reshape(4, 5) * 13
_QP = 27
_C_FLAGS = ('-std=c99', '-O1', '-g', '-fsanitize=address,undefined',
            '-fno-sanitize-recover=all')
# Memory beyond all that the decoder may take for such small pictures ends it.
_C_ENVIRONMENT = {
    'ASAN_OPTIONS': 'hard_rss_limit_mb=600:exitcode=99:detect_leaks=0',
    'UBSAN_OPTIONS': 'print_stacktrace=1:exitcode=99'}


class Mismatch(Exception):
  """Two readers do not agree, or a program ended in another way."""


class Corpus(typing.NamedTuple):
  """Valid files that mutations begin with, and the decoder's program."""
  npz: bytes
  json: bytes
  y4m: tuple[bytes, ...]
  clf: tuple[tuple[bytes, ...], ...]
  decoder: pathlib.Path | None


def make_corpus(folder: pathlib.Path, *, with_decoder: bool) -> Corpus:
  """Makes small valid files, and builds the C decoder where gcc is.

  Args:
    folder: an existing one, for the program.
    with_decoder: whether it is needed.
  """
  with tempfile.TemporaryDirectory() as name:
    artefact.save(_filter(), name)
    npz, told = ((pathlib.Path(name) / file).read_bytes()
                 for file in (artefact.NPZ_NAME, artefact.JSON_NAME))
  videos = []
  for layout in (frames.Format(6, 4), frames.Format(5, 3, 10, '444'),
                 frames.Format(3, 2, 8, '400')):
    stream = io.BytesIO()
    frame = frames.frame_from_bytes(bytes(layout.frame_bytes), layout)
    frame_files.write_y4m(stream, [frame] * 2)
    videos.append(stream.getvalue())
  return Corpus(npz, told, tuple(videos), _side_files(),
                _built_decoder(folder) if with_decoder else None)


def _filter():
  """Two layers with a known answer, in a few hundred bytes."""
  rng = np.random.Generator(np.random.PCG64(0))
  def layer(inputs, outputs, output_fl, output_bits, relu):
    return integer_graph.Layer(
        rng.integers(-99, 100, [3, 3, inputs, outputs]).astype(np.int32),
        rng.integers(-999, 1000, [outputs]).astype(np.int32), 8, 12,
        output_fl, 8, 16, output_bits, relu)
  filter_ = integer_graph.IntegerFilter(
      8, (layer(2, 3, 6, 9, True), layer(3, 1, 12, 16, False)))
  rec = rng.integers(0, 256, [2, 3, 4, 1]).astype(np.int32)
  qp, reference = np.array([22, 37], np.int32), runtime.Reference(filter_)
  vector = integer_graph.TestVector(
      rec, qp, reference.residual(rec, qp).astype(np.int32),
      reference.filter_batch(rec, qp))
  return integer_graph.IntegerFilter(filter_.depth, filter_.layers, {}, vector)


def _built_decoder(folder):
  compiler = shutil.which('gcc') or shutil.which('cc')
  if compiler is None:
    return None
  program = folder / 'dfp_filter'
  subprocess.run([compiler, *_C_FLAGS, '-o', program, reference_c.SOURCE],
                 check=True, capture_output=True)
  return program


def _forged_npz(rng, corpus):
  way = rng.choice((fuzz_mutations.blind, fuzz_mutations.forged_zip,
                    fuzz_mutations.forged_arrays,
                    fuzz_mutations.forged_arrays))
  return way(rng, corpus.npz)


def _parsed(content):
  """Reads filter.npz; returns the filter, and what it makes of _SAMPLES."""
  filter_ = artefact.parse(content, {})
  if filter_.macs_per_sample * _SAMPLES.size > _MAX_MACS:
    return filter_, None
  filtered = runtime.Reference(filter_).filter_plane(
      np.minimum(_SAMPLES, 2 ** filter_.depth - 1), _QP)
  return filter_, filtered


def filter_npz(rng: random.Random, corpus: Corpus,
               folder: pathlib.Path) -> bool:
  """filter.npz alone, by the Python reader; accepted filters are run."""
  content = _forged_npz(rng, corpus)
  (folder / artefact.NPZ_NAME).write_bytes(content)
  _parsed(content)
  return True


def filter_folder(rng: random.Random, corpus: Corpus,
                  folder: pathlib.Path) -> bool:
  """The whole folder; the checksum of a forged filter.npz is put right."""
  npz, told = corpus.npz, corpus.json
  kind = rng.randrange(3)
  if kind == 0:
    npz = _forged_npz(rng, corpus)
    signed = json.loads(told)
    signed['sha256'][artefact.NPZ_NAME] = hashlib.sha256(npz).hexdigest()
    told = json.dumps(signed).encode()
  elif kind == 1:
    told = fuzz_mutations.forged_json(rng, told)
  else:
    told = fuzz_mutations.blind(rng, told)
  (folder / artefact.NPZ_NAME).write_bytes(npz)
  (folder / artefact.JSON_NAME).write_bytes(told)
  artefact.load(folder)
  return True


def y4m(rng: random.Random, corpus: Corpus, folder: pathlib.Path) -> bool:
  """A Y4M file, read to its end."""
  way = rng.choice((fuzz_mutations.blind, fuzz_mutations.forged_words))
  path = folder / 'a.y4m'
  path.write_bytes(way(rng, rng.choice(corpus.y4m)))
  sequence = frame_files.open_y4m(path)
  if sum(1 for _ in sequence.frames()) != sequence.count:
    raise Mismatch('the file holds another number of frames than it told')
  return True


def yuv(rng: random.Random, corpus: Corpus, folder: pathlib.Path) -> bool:
  """Raw YUV whose name tells a size, read to its end."""
  del corpus
  path = folder / f'{fuzz_mutations.size_words(rng)}.yuv'
  chroma = rng.choice(tuple(frames.SUBSAMPLING))
  path.write_bytes(bytes(rng.choice(_YUV_BYTES)))
  sequence = frame_files.open_yuv(
      path, frame_files.format_from_name(path, chroma))
  if sum(1 for _ in sequence.frames()) != sequence.count:
    raise Mismatch('the file holds another number of frames than it told')
  return True


def _run_decoder(corpus, *arguments):
  """Runs the decoder; returns None, or the one line that it ended with."""
  done = subprocess.run(
      [corpus.decoder, *arguments], capture_output=True, timeout=60,
      close_fds=False, env=os.environ | _C_ENVIRONMENT, check=False)
  told = done.stderr.decode(errors='replace')
  if done.returncode == 0 and not told:
    return None
  if (done.returncode == 1 and told.startswith('error: ')
      and told.count('\n') == 1):
    return told
  raise Mismatch(f'the decoder ended with {done.returncode}: {told}')


def c_decoder(rng: random.Random, corpus: Corpus,
              folder: pathlib.Path) -> bool:
  """filter.npz by the C decoder, which has to say what Python says."""
  content = _forged_npz(rng, corpus)
  path = folder / artefact.NPZ_NAME
  path.write_bytes(content)
  depth = 8
  try:
    filter_, expected = _parsed(content)
    depth, refused = filter_.depth, None
  except errors.InputError as error:
    refused, expected = str(error), None
  samples = np.minimum(_SAMPLES, 2 ** depth - 1).astype(
      np.uint8 if depth == 8 else '<u2')
  (folder / 'in.yuv').write_bytes(samples.tobytes())
  told = _run_decoder(corpus, path, folder / 'in.yuv', folder / 'out.yuv',
                      '--size=5x4', '--chroma=400', f'--qp={_QP}')
  if (told is None) != (refused is None):
    raise Mismatch(f'the decoder says {told!r}, Python says {refused!r}')
  if expected is not None:
    found = np.fromfile(folder / 'out.yuv', samples.dtype).reshape(4, 5)
    if not np.array_equal(found, expected):
      raise Mismatch(f'the decoder gives {found}, Python gives {expected}')
  if told is None:
    _run_decoder(corpus, path, '--check')
  return told is None


def c_yuv(rng: random.Random, corpus: Corpus, folder: pathlib.Path) -> bool:
  """Raw YUV and flags that do not fit, by the C decoder."""
  (folder / artefact.NPZ_NAME).write_bytes(corpus.npz)
  (folder / 'in.yuv').write_bytes(bytes(rng.choice(_YUV_BYTES)))
  flags = []
  for name, usual in (('size', ('4x6', '6x4', '65535x65535')),
                      ('qp', ('0', '51')), ('chroma', ('400', '420', '444')),
                      ('depth', ('8',))):
    value = (fuzz_mutations.size_words(rng)[2:] if rng.random() < 0.1
             else rng.choice(usual))
    flags.append(f'--{name}={value}')
  flags = rng.sample(flags, rng.choice((2, 3, 4, 4, 4, 4)))
  told = _run_decoder(corpus, folder / artefact.NPZ_NAME, folder / 'in.yuv',
                      folder / 'out.yuv', *flags)
  if (told is None) != (folder / 'out.yuv').exists():
    raise Mismatch(f'a file in spite of {told!r}, or none')
  if (folder / 'out.yuv.partial').exists():
    raise Mismatch('half a file was left')
  return told is None


def clf(rng: random.Random, corpus: Corpus, folder: pathlib.Path) -> bool:
  """A side file, read to its end, its switches decoded."""
  records = list(rng.choice(corpus.clf))
  if rng.random() < 0.8:
    i = rng.randrange(len(records))
    records[i] = fuzz_mutations.blind(rng, records[i])
    data = _signed(records)
  else:
    data = fuzz_mutations.blind(rng, _signed(records))
  path = folder / 'a.clf'
  path.write_bytes(data)
  with open(path, 'rb') as stream:
    reader = side_file.Reader(stream, str(path))
    coder = switch_coding.make(reader.header.coding)
    grid = reader.header.grid
    for record in reader.records():
      coder.unpack(record.switches, grid.shape, len(grid.format.plane_shapes))
  return True


def _signed(records):
  """Joins header and records, each with the checksum that goes on."""
  data, crc = b'', 0
  for record in records:
    crc = zlib.crc32(record, crc)
    data += record + struct.pack('<I', crc)
  return data


class _Pieces(list):
  """What a writer writes at a time."""

  def write(self, data):
    self.append(data)

  def flush(self):
    pass


def _side_files():
  """Header and records of a side file of each coding, without checksums."""
  made = []
  for i, coding in enumerate(switch_coding.CODINGS):
    grid = blocks.Grid(frames.Format(200, 100), 64)
    coder, pieces = switch_coding.make(coding), _Pieces()
    writer = side_file.Writer(
        pieces, side_file.Header(grid, coding, bytes(32)))
    for frame in range(3):
      switches = tuple(
          np.indices(grid.shape).sum(0) % (2 + frame) == 0 for _ in range(3))
      qps = np.full(grid.shape, 30, np.uint8) if i else None
      writer.add(side_file.Record(30, coder.pack(switches), frame, qps))
    writer.finish()
    made.append(tuple(piece[:-4] for piece in pieces))
  return tuple(made)


class Target(typing.NamedTuple):
  """A reader, the share of the cases that it gets, and what it needs."""
  run: Callable[[random.Random, Corpus, pathlib.Path], bool]
  share: int
  needs_compiler: bool = False


TARGETS = {
    'filter_npz': Target(filter_npz, 33),
    'filter_folder': Target(filter_folder, 20),
    'y4m': Target(y4m, 28),
    'yuv': Target(yuv, 10),
    'clf': Target(clf, 20),
    'c_decoder': Target(c_decoder, 6, needs_compiler=True),
    'c_yuv': Target(c_yuv, 3, needs_compiler=True),
}
