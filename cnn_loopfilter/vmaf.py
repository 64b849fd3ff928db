"""VMAF by the program ffmpeg, where it was built with libvmaf.

The model is libvmaf's own default, vmaf_v0.6.1: trained on 1080p seen from
three heights away, and on luma alone.
"""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import dataclasses
import json
import pathlib
import shutil
import subprocess
import tempfile

import numpy as np

from cnn_loopfilter import errors
from cnn_loopfilter import frames as frames_lib

_LOG = 'vmaf.json'
_ORIGINAL = 'original.yuv'


def find(program: str = 'ffmpeg') -> 'Program | None':
  """Looks for an ffmpeg with libvmaf.

  Args:
    program: a name on PATH, or a path.

  Returns:
    None where there is no such program, or it lacks the filter.
  """
  path = shutil.which(program)
  if path is None:
    return None
  try:
    done = subprocess.run([path, '-hide_banner', '-filters'],
                          stdin=subprocess.DEVNULL, capture_output=True,
                          check=False)
  except OSError:
    return None
  return Program(path) if b' libvmaf ' in done.stdout else None


@dataclasses.dataclass(frozen=True)
class Program:
  """An ffmpeg with libvmaf, by its path."""
  path: str

  @contextlib.contextmanager
  def recording(self) -> Iterator['Recording']:
    """Gives a place for frames that is emptied when the block ends."""
    with tempfile.TemporaryDirectory() as folder:
      yield Recording(self.path, pathlib.Path(folder))


class Recording:
  """Frames of a sequence's states in raw files; made by `Program`."""

  def __init__(self, program: str, folder: pathlib.Path):
    self._program, self._folder = program, folder
    self._names, self._format = {}, None

  def add(self, original: frames_lib.Frame,
          states: Mapping[str, Sequence[np.ndarray]]) -> None:
    """Keeps one frame of every state."""
    self._format = original.format
    self._append(_ORIGINAL, original.planes)
    for state, planes in states.items():
      # A state's name is the user's; its number names the file.
      name = self._names.setdefault(state, f'{len(self._names)}.yuv')
      self._append(name, planes)

  def _append(self, name, planes):
    with open(self._folder / name, 'ab') as stream:
      stream.write(frames_lib.Frame(tuple(planes), self._format).to_bytes())

  def scores(self) -> dict[str, float]:
    """Returns VMAF's mean over the frames, 0 .. 100, by state.

    Empty for frames without chroma, which the filter does not take.

    Raises:
      InputError: if ffmpeg fails.
    """
    if self._format is None or self._format.chroma == '400':
      return {}
    return {state: self._score(name) for state, name in self._names.items()}

  def _score(self, name):
    layout = self._format
    depth = '' if layout.depth == 8 else f'{layout.depth}le'
    raw = ['-f', 'rawvideo', '-pixel_format', f'yuv{layout.chroma}p{depth}',
           '-video_size', f'{layout.width}x{layout.height}', '-framerate', '25']
    # The filter's options have a syntax of their own: the log's name is plain,
    # and lies in the folder that the program runs in.
    done = subprocess.run(
        [self._program, '-nostdin', '-hide_banner', *raw, '-i', name,
         *raw, '-i', _ORIGINAL, '-lavfi',
         f'libvmaf=log_fmt=json:log_path={_LOG}', '-f', 'null', '-'],
        cwd=self._folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, check=False)
    log = self._folder / _LOG
    try:
      score = json.loads(log.read_text())['pooled_metrics']['vmaf']['mean']
      log.unlink()
    except (OSError, ValueError, KeyError, TypeError) as error:
      last = done.stdout.decode('utf-8', 'replace').splitlines()[-3:]
      raise errors.InputError(
          f'VMAF: {self._program} gave no score for {layout.width}x'
          f'{layout.height}; its last lines: {" | ".join(last)}') from error
    return float(score)
