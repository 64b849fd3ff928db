"""Test vectors of the shipped filters, for other implementers.

  vector_files/*.yuv       small frames, raw planar YUV
  vector_files/NAME.json   for a shipped filter: frames, QPs, SHA-256 of results

docs/loopfilter-interchange.md specifies both;
scripts/cnn_loopfilter/make_vectors.py writes them. The frames are made of
integers alone, without any library's random numbers. NumPy is needed.
"""

from collections.abc import Callable
import dataclasses
import hashlib
import json
import os
import pathlib

import numpy as np

from cnn_loopfilter import artefact
from cnn_loopfilter import atomic_file
from cnn_loopfilter import frame_files
from cnn_loopfilter import frames as frames_lib
from cnn_loopfilter import pretrained
from cnn_loopfilter import runtime

FORMAT = 'cnn_loopfilter test vectors'
VERSION = 1
FOLDER = pathlib.Path(__file__).with_name('vector_files')

# Content, width, height, chroma, QPs. 70 is more than the C decoder's tile.
_FRAMES = (
    ('noise', 1, 1, '400', (0, 37)), ('noise', 9, 1, '400', (22,)),
    ('noise', 1, 6, '400', (51,)), ('waves', 5, 3, '400', (0, 63)),
    ('noise', 37, 29, '400', (22,)), ('waves', 37, 29, '400', (37,)),
    ('blocks', 70, 9, '400', (27,)), ('blocks', 11, 70, '400', (42,)),
    ('board', 16, 16, '400', (0, 32, 51)), ('waves', 24, 16, '420', (32,)),
    ('blocks', 12, 10, '422', (22,)), ('noise', 7, 5, '444', (37,)))


@dataclasses.dataclass(frozen=True)
class Case:
  """One frame at one QP.

  Attributes:
    file: of the frame, beside the JSON file.
    width: luma samples; so height.
    height: luma samples.
    chroma: a key of frames.SUBSAMPLING; all planes are filtered.
    qp: 0 to 63.
    input_sha256: of the file.
    output_sha256: of the filtered frame, written in the same way.
  """
  file: str
  width: int
  height: int
  chroma: str
  qp: int
  input_sha256: str
  output_sha256: str


@dataclasses.dataclass(frozen=True)
class Vectors:
  """All cases of one filter.

  Attributes:
    filter_sha256: of its filter.npz.
    depth: bits of a sample; more than 8 take two bytes, little endian.
    cases: the cases.
    folder: where the files are.
  """
  filter_sha256: str
  depth: int
  cases: tuple[Case, ...]
  folder: pathlib.Path = FOLDER

  def frame(self, case: Case) -> frames_lib.Frame:
    """Reads the frame of a case."""
    layout = frames_lib.Format(case.width, case.height, self.depth,
                               case.chroma)
    sequence = frame_files.open_yuv(self.folder / case.file, layout)
    return next(sequence.frames())

  def differing(self, filter_plane: Callable[[np.ndarray, int], np.ndarray]
                ) -> list[Case]:
    """Returns the cases whose result is not the expected one.

    Args:
      filter_plane: see runtime.Runtime.
    """
    return [case for case in self.cases
            if digest(self.frame(case), case.qp, filter_plane)
            != case.output_sha256]


def load(name: str, folder: str | os.PathLike = FOLDER) -> Vectors:
  """Reads the vectors of a shipped filter.

  Args:
    name: of the filter, see pretrained.names.
    folder: what make_vectors.py wrote.
  """
  folder = pathlib.Path(folder)
  told = json.loads((folder / f'{name}.json').read_text('utf-8'))
  return Vectors(told['filter_sha256'], told['depth'],
                 tuple(Case(**case) for case in told['cases']), folder)


def digest(frame: frames_lib.Frame, qp: int,
           filter_plane: Callable[[np.ndarray, int], np.ndarray]) -> str:
  """Returns the SHA-256 of a frame whose planes were filtered."""
  planes = tuple(filter_plane(plane, qp) for plane in frame.planes)
  return _sha256(frames_lib.Frame(planes, frame.format).to_bytes())


def _sha256(data):
  return hashlib.sha256(data).hexdigest()


def write(name: str, folder: str | os.PathLike = FOLDER) -> int:
  """Writes frames and JSON file of a shipped filter, by the reference.

  Args:
    name: of the filter.
    folder: to write into.

  Returns:
    The number of cases.
  """
  filter_ = artefact.load(pretrained.folder(name))
  reference, folder = runtime.Reference(filter_), pathlib.Path(folder)
  cases = []
  for content, width, height, chroma, qps in _FRAMES:
    file = f'{content}_{width}x{height}_{chroma}_{filter_.depth}bit.yuv'
    frame = _made(content, frames_lib.Format(width, height, filter_.depth,
                                             chroma))
    with atomic_file.replacing(folder / file) as stream:
      stream.write(frame.to_bytes())
    cases += [Case(file, width, height, chroma, qp,
                   _sha256(frame.to_bytes()),
                   digest(frame, qp, reference.filter_plane)) for qp in qps]
  npz = (pretrained.folder(name) / artefact.NPZ_NAME).read_bytes()
  atomic_file.write_json(folder / f'{name}.json', {
      'format': FORMAT, 'version': VERSION, 'filter': name,
      'filter_sha256': _sha256(npz), 'depth': filter_.depth,
      'cases': [dataclasses.asdict(case) for case in cases]})
  return len(cases)


def _made(content, layout):
  """Makes a frame; its planes differ."""
  planes = []
  for i, (height, width) in enumerate(layout.plane_shapes):
    y, x = np.mgrid[:height, :width]
    values = _CONTENTS[content](y + 5 * i, x + 3 * i)
    # Made for 8 bits; the lower bits of deeper samples are not zero.
    values = np.clip(values, 0, 255) << (layout.depth - 8)
    values += (7 * x + 3 * y) % 2 ** (layout.depth - 8)
    planes.append(values.astype(frames_lib.sample_dtype(layout.depth)))
  return frames_lib.Frame(tuple(planes), layout)


def _hashed(y, x):
  """Integers 0 to 255 that look random, from two coordinates."""
  mixed = (x * 374761393 + y * 668265263) % 2 ** 32
  mixed = ((mixed ^ (mixed >> 13)) * 1274126177) % 2 ** 32
  return (mixed ^ (mixed >> 16)) % 256


def _waves(y, x):
  """Smooth hills and an edge, with a little noise on them."""
  hills = x * (40 - x) // 3 + y * (30 - y) // 4 + 60
  return hills + 50 * (x + 2 * y > 40) + _hashed(y, x) % 5


def _blocks(y, x):
  """A slope whose 8x8 blocks are off by their own constants."""
  return 60 + 2 * x + y + _hashed(y // 8, x // 8) % 13


_CONTENTS = {'noise': _hashed, 'waves': _waves, 'blocks': _blocks,
             'board': lambda y, x: 255 * ((x + y) % 2)}
