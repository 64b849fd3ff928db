"""Any encoder and decoder that run as programs (JEM, HM, VTM, ...).

Two commands as lists of arguments, with places for what changes; no shell
reads them, so a file name can hold anything.
"""

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
import pathlib
import subprocess
import tempfile

from cnn_loopfilter import data_config
from cnn_loopfilter import errors
from cnn_loopfilter import frames as frames_lib
from cnn_loopfilter.codec import base

_PLACES = ('input', 'output', 'bitstream', 'width', 'height', 'depth', 'qp',
           'frames')
_LAST_LINES = 5


class External:
  """Programs as a `base.Codec`.

  The bits of a frame are the stream's divided evenly: programs tell of one
  frame's in many ways, and BD-rates need the sum alone.

  Args:
    config: the commands; see `data_config.CodecConfig`.
  """

  def __init__(self, config: data_config.CodecConfig):
    self._encoders = {'none': config.encode_command,
                      'deblocking': config.deblocking_encode_command,
                      'all': config.all_encode_command}
    self._decoder = config.decode_command
    for command in (*self._encoders.values(), self._decoder):
      _fill(command, dict.fromkeys(_PLACES, 0))
    self.label = config.label or pathlib.Path(config.encode_command[0]).name
    self.filters = tuple(name for name in base.FILTERS
                         if self._encoders[name])
    self.description = f'{self.label}: ' + ' / '.join(
        ' '.join(command) for command in
        (*self._encoders.values(), self._decoder))

  def encode(self, frames: Iterable[frames_lib.Frame], qp: int,
             filters: str) -> Iterator[base.Coded]:
    """Codes frames of one format; see `base.Codec`.

    Raises:
      InputError: if the config has no encoder with these filters, the frames
        are of several formats, or a program cannot be started, fails or does
        not write what it should.
    """
    base.check(filters, qp, largest_qp=63)
    if not self._encoders[filters]:
      raise errors.InputError(
          f'{self.label}: the config has no encoder with filters {filters!r}')
    with tempfile.TemporaryDirectory() as folder:
      yield from self._run(pathlib.Path(folder), frames, qp,
                           self._encoders[filters])

  def _run(self, folder, frames, qp, encoder):
    places = {name: folder / f'{name}.{ending}' for name, ending in
              (('input', 'yuv'), ('output', 'yuv'), ('bitstream', 'bin'))}
    with open(places['input'], 'wb') as stream:
      layout, count = None, 0
      for frame in frames:
        layout = layout or frame.format
        if frame.format != layout:
          raise errors.InputError(
              f'frames: got {frame.format} after {layout}, expected one format')
        stream.write(frame.to_bytes())
        count += 1
    if not count:
      return
    values = places | {'width': layout.width, 'height': layout.height,
                       'depth': layout.depth, 'qp': qp, 'frames': count}
    watch = base.Stopwatch()
    _call(_fill(encoder, values), places['bitstream'])
    encode_s = watch.lap()
    _call(_fill(self._decoder, values), places['output'])
    seconds = encode_s / count, watch.lap() / count
    yield from _coded(places, layout, count, seconds)


def _fill(command: Sequence[str], values) -> list[str]:
  try:
    return [word.format_map(values) for word in command]
  except (KeyError, ValueError, IndexError, AttributeError) as error:
    raise errors.InputError(
        f'codec command {" ".join(command)!r}: {error} is no place to fill, '
        f'expected {", ".join(f"{{{name}}}" for name in _PLACES)}') from error


def _call(command, wanted):
  """Runs a program that must write the file `wanted`."""
  try:
    done = subprocess.run(command, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False)
  except OSError as error:
    raise errors.InputError(
        f'codec: cannot start {command[0]} ({error.strerror}), expected a '
        'program on this machine') from error
  lines = done.stdout.decode('utf-8', 'replace').splitlines()
  last = ' | '.join(lines[-_LAST_LINES:])
  if done.returncode:
    raise errors.InputError(f'codec: {command[0]} failed with status '
                            f'{done.returncode}; its last lines: {last}')
  if not wanted.is_file() or not wanted.stat().st_size:
    raise errors.InputError(f'codec: {command[0]} ended well but wrote no '
                            f'{wanted.name}; its last lines: {last}')


def _coded(places, layout, count, seconds):
  size = places['output'].stat().st_size
  if size != count * layout.frame_bytes:
    raise errors.InputError(
        f'codec: the stream decodes to {size} bytes, expected '
        f'{count * layout.frame_bytes}: {count} frames of {layout.width}x'
        f'{layout.height} at {layout.depth} bits')
  bits = 8 * places['bitstream'].stat().st_size
  with open(places['output'], 'rb') as stream:
    for index in range(count):
      frame = frames_lib.frame_from_bytes(
          stream.read(layout.frame_bytes), layout)
      yield base.Coded(frame, bits // count + (index < bits % count), *seconds)
