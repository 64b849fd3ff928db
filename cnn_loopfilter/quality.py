"""How near frames are to their originals: PSNR, SSIM, and VMAF by a program."""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import dataclasses
import math

import numpy as np
from skimage import metrics

from cnn_loopfilter import frames as frames_lib
from cnn_loopfilter import prepare
from cnn_loopfilter import vmaf

# Edge of SSIM's window: 11 samples of a Gaussian of 1.5.
_WINDOW = 11


def ssim(original: np.ndarray, other: np.ndarray, depth: int) -> float:
  """Returns the structural similarity of two planes.

  The mean of Wang et al.'s index (IEEE Trans. Image Processing 13(4), 2004,
  equation 13) over all windows inside the plane: an 11x11 Gaussian window of
  standard deviation 1.5, K1 = 0.01, K2 = 0.03, L = 2^depth - 1, at full size.

  Args:
    original: [height, width].
    other: the same shape.
    depth: bits of a sample.

  Returns:
    At most 1, which equal planes have; NaN for a plane below 11x11.
  """
  if min(original.shape) < _WINDOW:
    return math.nan
  return float(metrics.structural_similarity(
      original.astype(np.float64), other.astype(np.float64),
      data_range=2 ** depth - 1, gaussian_weights=True, sigma=1.5,
      use_sample_covariance=False, K1=0.01, K2=0.03))


def ssim_db(value: float) -> float:
  """Returns -10 log10(1 - SSIM), which has no upper end; 1 gives infinity."""
  return math.inf if value >= 1 else -10 * math.log10(1 - value)


@dataclasses.dataclass(frozen=True)
class Scores:
  """Means over the frames of a sequence, by component where there are several.

  PSNR is the mean of the frames' dB, as JVET takes it; SSIM is of `ssim`; VMAF
  is of all components together (it looks at luma), None where not measured.
  """
  psnr: tuple[float, ...]
  ssim: tuple[float, ...]
  vmaf: float | None


class Meter:
  """Scores the states of one sequence at one QP; made by `meter`."""

  def __init__(self, recording: vmaf.Recording | None):
    self._recording = recording
    self._psnr, self._ssim = {}, {}

  def add(self, original: frames_lib.Frame,
          states: Mapping[str, Sequence[np.ndarray]]) -> None:
    """Scores one frame: planes by state against the original's."""
    depth = original.format.depth
    for state, planes in states.items():
      pairs = list(zip(original.planes, planes))
      self._psnr.setdefault(state, []).append([
          prepare.psnr(prepare.squared_error(*pair), pair[0].size, depth)
          for pair in pairs])
      self._ssim.setdefault(state, []).append(
          [ssim(*pair, depth) for pair in pairs])
    if self._recording is not None:
      self._recording.add(original, states)

  def scores(self) -> dict[str, Scores]:
    """Returns the means by state."""
    vmafs = self._recording.scores() if self._recording is not None else {}
    return {state: Scores(_means(self._psnr[state]), _means(self._ssim[state]),
                          vmafs.get(state)) for state in self._psnr}


@contextlib.contextmanager
def meter(program: vmaf.Program | None = None) -> Iterator[Meter]:
  """Gives a meter for a sequence; VMAF's frames lie in files until the end.

  Args:
    program: of `vmaf.find`; None: VMAF is not measured.
  """
  with contextlib.ExitStack() as stack:
    yield Meter(program and stack.enter_context(program.recording()))


def _means(frames):
  return tuple(map(float, np.mean(frames, 0)))
