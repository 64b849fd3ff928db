"""Files that frames are read from and written to.

Read frame by frame, so that memory does not grow with their length: planar YUV
without a header (`.yuv`), Y4M (`.y4m`), PNG and JPEG. In files of more than 8
bits a sample takes two bytes, little endian.
"""

from collections.abc import Iterable
from collections.abc import Sequence
import dataclasses
import pathlib
import re
import typing

from cnn_loopfilter import errors
from cnn_loopfilter import frames as frames_lib

PICTURES = ('.png', '.jpg', '.jpeg')
# Sizes that names of clips give by their rows alone.
_NAMED_SIZES = {'360p': (640, 360), '720p': (1280, 720),
                '1080p': (1920, 1080), '2160p': (3840, 2160)}


def format_from_name(path: pathlib.Path, chroma: str = '420'
                     ) -> frames_lib.Format:
  """Reads size and depth out of a name like `src01_576x324_10bit_3f.yuv`.

  Without a depth it is 8; 360p, 720p, 1080p and 2160p are 16:9.

  Raises:
    InputError: if the name holds no size.
  """
  found = re.search(r'(?<![0-9])([0-9]+)x([0-9]+)(?![0-9])', path.stem)
  rows = re.search(r'(?<![0-9])[0-9]+p(?![a-z0-9])', path.stem)
  if found is not None:
    size = (int(found[1]), int(found[2]))
  elif rows is not None and rows[0] in _NAMED_SIZES:
    size = _NAMED_SIZES[rows[0]]
  else:
    raise errors.InputError(
        f'{path}: the name holds no size such as 416x240, expected one there '
        'or width and height to be given')
  depth = re.search(r'(?<![0-9])([0-9]+)-?bit', path.stem)
  return frames_lib.Format(*size, int(depth[1]) if depth else 8, chroma)


def open_yuv(path: pathlib.Path, layout: frames_lib.Format | None = None
             ) -> frames_lib.Sequence:
  """Opens planar YUV without a header.

  Args:
    path: the file.
    layout: size, depth and chroma; None reads them out of the name.

  Raises:
    InputError: if the file is not a whole number of frames, one at least.
  """
  layout = layout or format_from_name(path)
  size = path.stat().st_size
  count, rest = divmod(size, layout.frame_bytes)
  if count == 0 or rest:
    raise errors.InputError(
        f'{path}: got {size} bytes, expected a multiple of '
        f'{layout.frame_bytes}, which is one frame of {layout.width}x'
        f'{layout.height} at {layout.depth} bits, 4:{layout.chroma[1]}:'
        f'{layout.chroma[2]}')
  said = re.search(r'(?<![a-zA-Z0-9])([0-9]+)f(?![a-zA-Z0-9])', path.stem)
  if said and int(said[1]) != count:
    raise errors.InputError(
        f'{path}: the name says {said[1]} frames, the file holds {count} of '
        f'{layout.width}x{layout.height} at {layout.depth} bits')

  def read():
    with open(path, 'rb') as stream:
      for _ in range(count):
        yield _read_frame(stream, layout, path)

  return frames_lib.Sequence(path.stem, layout, count, read)


def _read_frame(stream, layout, path):
  data = stream.read(layout.frame_bytes)
  if len(data) != layout.frame_bytes:
    raise errors.InputError(f'{path}: ends within a frame')
  return frames_lib.frame_from_bytes(data, layout)


_Y4M_CHROMA = re.compile(
    r'(?P<chroma>420|422|444|mono)(?P<siting>jpeg|paldv|mpeg2)?'
    r'(?:p?(?P<depth>[0-9]+))?')


def open_y4m(path: pathlib.Path) -> frames_lib.Sequence:
  """Opens a Y4M file.

  Raises:
    InputError: for a header that is not Y4M, names a layout other than 4:0:0,
      4:2:0, 4:2:2 or 4:4:4 or an interlaced one, or a file that ends early.
  """
  with open(path, 'rb') as stream:
    layout = _y4m_format(_line(stream, path), path)
    start = stream.tell()
    # A forged size would take memory before it is found out.
    if start < path.stat().st_size < start + layout.frame_bytes:
      raise errors.InputError(f'{path}: ends within frame 0')
    count = 0
    while _at_frame(stream, path):
      if len(stream.read(layout.frame_bytes)) != layout.frame_bytes:
        raise errors.InputError(f'{path}: ends within frame {count}')
      count += 1
  if not count:
    raise errors.InputError(f'{path}: holds no frame')

  def read():
    with open(path, 'rb') as stream:
      stream.seek(start)
      while _at_frame(stream, path):
        yield _read_frame(stream, layout, path)

  return frames_lib.Sequence(path.stem, layout, count, read)


def _line(stream, path):
  line = stream.readline(1024)
  if line and not line.endswith(b'\n'):
    raise errors.InputError(f'{path}: a line of its header has no end')
  return line[:-1]


def _at_frame(stream, path):
  line = _line(stream, path)
  if line and line.split(b' ')[0] != b'FRAME':
    raise errors.InputError(
        f'{path}: got {line[:20]!r}, expected a line FRAME')
  return bool(line)


def _y4m_format(line, path):
  words = line.decode('ascii', 'replace').split()
  if not words or words[0] != 'YUV4MPEG2':
    raise errors.InputError(f'{path}: does not begin with YUV4MPEG2')
  tags = {word[0]: word[1:] for word in words[1:] if word[0] != 'X'}
  chroma = _Y4M_CHROMA.fullmatch(tags.get('C', '420jpeg'))
  if chroma is None:
    raise errors.InputError(f'{path}: got C{tags["C"]}, expected C420, C422, '
                            'C444 or Cmono with their depths')
  if tags.get('I', 'p') not in ('p', '?'):
    raise errors.InputError(
        f'{path}: got I{tags["I"]} (interlaced), expected Ip')
  try:
    return frames_lib.Format(
        int(tags['W']), int(tags['H']), int(chroma['depth'] or 8),
        chroma['chroma'].replace('mono', '400'))
  except (KeyError, ValueError) as error:
    if isinstance(error, errors.InputError):
      raise errors.InputError(f'{path}: {error}') from error
    raise errors.InputError(
        f'{path}: expected W and H with whole numbers') from error


def y4m_words(path: pathlib.Path) -> tuple[str, ...]:
  """Returns the words of a Y4M header beside W and H, as they are.

  Raises:
    InputError: for a header that is not Y4M.
  """
  with open(path, 'rb') as stream:
    line = _line(stream, path)
  _y4m_format(line, path)
  return tuple(word for word in line.decode('ascii', 'replace').split()[1:]
               if word[0] not in 'WH')


def default_y4m_words(layout: frames_lib.Format,
                      rate: tuple[int, int] = (25, 1),
                      aspect: tuple[int, int] = (1, 1)) -> tuple[str, ...]:
  """Makes the words of a Y4M header beside W and H.

  Args:
    layout: of the frames.
    rate: frames over seconds.
    aspect: width over height of a sample.
  """
  chroma = 'mono' if layout.chroma == '400' else layout.chroma
  if layout.depth > 8:
    chroma += f'{"" if chroma == "mono" else "p"}{layout.depth}'
  return (f'F{rate[0]}:{rate[1]}', 'Ip', f'A{aspect[0]}:{aspect[1]}',
          f'C{chroma}')


def write_y4m(stream: typing.BinaryIO, frames: Iterable[frames_lib.Frame],
              words: Sequence[str] | None = None) -> int:
  """Writes Y4M; returns the frame count.

  Args:
    stream: open for binary writing.
    frames: of one format.
    words: of the header beside W and H; None: `default_y4m_words`.
  """
  count = 0
  for frame in frames:
    layout = frame.format
    if not count:
      told = default_y4m_words(layout) if words is None else words
      stream.write(' '.join(['YUV4MPEG2', f'W{layout.width}',
                             f'H{layout.height}', *told]).encode() + b'\n')
    stream.write(b'FRAME\n' + frame.to_bytes())
    count += 1
  return count


def write_yuv(stream: typing.BinaryIO,
              frames: Iterable[frames_lib.Frame]) -> int:
  """Writes planar YUV without a header; returns the frame count."""
  count = 0
  for frame in frames:
    stream.write(frame.to_bytes())
    count += 1
  return count


def open_file(path: pathlib.Path, layout: frames_lib.Format | None = None
              ) -> frames_lib.Sequence:
  """Opens a file by the ending of its name.

  Args:
    path: .yuv, .y4m, .png, .jpg or .jpeg.
    layout: of a .yuv file, where its name does not tell.

  Raises:
    InputError: for another ending, or a file that does not hold what it says.
  """
  ending = path.suffix.lower()
  if not path.is_file():
    raise errors.InputError(f'{path}: no such file')
  if ending == '.yuv':
    return open_yuv(path, layout)
  if ending == '.y4m':
    return open_y4m(path)
  if ending in PICTURES:
    # Pillow is needed for pictures alone.
    from cnn_loopfilter import pictures
    return pictures.open_picture(path)
  raise errors.InputError(
      f'{path}: expected a file .yuv, .y4m, {", ".join(PICTURES)}')


def open_files(paths: Iterable[pathlib.Path],
               layout: frames_lib.Format | None = None
               ) -> list[frames_lib.Sequence]:
  """Opens files and whole folders, in the order of their names.

  Raises:
    InputError: where nothing is found, or a file is not what it says.
  """
  files = []
  for path in paths:
    if path.is_dir():
      files += sorted(file for file in path.rglob('*') if file.suffix.lower()
                      in ('.yuv', '.y4m', *PICTURES))
    else:
      files.append(path)
  if not files:
    raise errors.InputError(
        f'{", ".join(map(str, paths))}: no .yuv, .y4m, PNG or JPEG in there')
  return [dataclasses.replace(open_file(file, layout),
                              group=file.absolute().parent.name)
          for file in files]
