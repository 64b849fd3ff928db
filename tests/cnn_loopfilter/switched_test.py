import itertools

import numpy as np
import pytest

from cnn_loopfilter import errors
from cnn_loopfilter import evaluation
from cnn_loopfilter import pictures
from cnn_loopfilter import switched
from cnn_loopfilter.codec import x265


def _picture():
  y, x = np.mgrid[:128, :192]
  waves = [128 + 60 * np.sin(x / (4 + c) + y / 7) + 8 * np.sin(x * y / 5)
           for c in range(3)]
  return pictures.from_array('one', np.stack(waves, -1).astype(np.uint8))


def _left_half_spoilt(plane, qp):
  del qp
  filtered = plane.copy()
  filtered[:, :plane.shape[1] // 3] ^= 16
  return filtered


def test_switches_leave_a_bad_filter_out_and_their_bits_count():
  found = evaluation.evaluate(
      [_picture()], x265.X265('ultrafast'), (22, 27, 32, 37),
      {'bad': _left_half_spoilt},
      switches=switched.Setting(sizes=(64, 32)))[0].points
  for qp in (22, 27, 32, 37):
    none = found['none'][qp]
    for coding, size in itertools.product(('plain', 'arithmetic'), (64, 32)):
      point = found[switched.state_of('bad', coding, size)][qp]
      # What it spoils is switched off; elsewhere it changes nothing.
      assert point.psnr == pytest.approx(none.psnr)
      # One frame of 3 modes and at most 3x6 or 3x24 flags.
      assert 8 <= point.bits - none.bits <= (24 if size == 64 else 80)
    assert found['bad'][qp].psnr < none.psnr
    assert found['bad'][qp].bits == none.bits


@pytest.mark.parametrize('setting, message', [
    ({'codings': ('plain', 'plain')}, 'expected each once'),
    ({'codings': ('huffman',)}, "got 'huffman'"),
    ({'sizes': (16,)}, 'got 16 luma samples'),
])
def test_settings_check_themselves(setting, message):
  with pytest.raises(errors.InputError, match=message):
    switched.Setting(**setting)
