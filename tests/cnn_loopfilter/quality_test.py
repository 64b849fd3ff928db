import json
import math
import os
import sys

import numpy as np
import pytest
import scipy.signal

from cnn_loopfilter import errors
from cnn_loopfilter import frames
from cnn_loopfilter import quality
from cnn_loopfilter import vmaf
from tests.cnn_loopfilter import wave_frames


def _ssim_by_the_paper(x, y, largest):
  """Wang et al. 2004, section III-B and equation 13, window by window."""
  grid = np.arange(-5, 6)
  window = np.exp(-(grid[:, None] ** 2 + grid ** 2) / (2 * 1.5 ** 2))
  window /= window.sum()

  def mean(values):
    return scipy.signal.convolve2d(values, window, 'valid')

  c1, c2 = (0.01 * largest) ** 2, (0.03 * largest) ** 2
  mu_x, mu_y = mean(x), mean(y)
  var_x, var_y = mean(x * x) - mu_x ** 2, mean(y * y) - mu_y ** 2
  covariance = mean(x * y) - mu_x * mu_y
  return np.mean((2 * mu_x * mu_y + c1) * (2 * covariance + c2)
                 / ((mu_x ** 2 + mu_y ** 2 + c1) * (var_x + var_y + c2)))


@pytest.mark.parametrize('depth', [8, 10])
def test_ssim_is_the_paper_s(depth):
  plane = wave_frames.frame(48, 32, depth).planes[0]
  noise = np.random.default_rng(0).integers(-6, 7, plane.shape)
  other = (plane.astype(int) + noise).clip(0, 2 ** depth - 1).astype(
      plane.dtype)
  assert quality.ssim(plane, other, depth) == pytest.approx(
      _ssim_by_the_paper(plane.astype(float), other.astype(float),
                         2 ** depth - 1), abs=1e-9)


def test_equal_planes_and_small_ones():
  plane = wave_frames.frame().planes[0]
  assert quality.ssim(plane, plane, 8) == 1
  assert quality.ssim_db(1) == math.inf
  assert quality.ssim_db(0.99) == pytest.approx(20)
  assert math.isnan(quality.ssim(plane[:10], plane[:10], 8))


def test_scores_are_means_over_frames():
  frame = wave_frames.frame()
  states = [[np.clip(plane, 0, 200) // step * step for plane in frame.planes]
            for step in (4, 16)]
  each = []
  for planes in states:
    with quality.meter() as meter:
      meter.add(frame, {'coarse': planes})
      each.append(meter.scores()['coarse'])
  with quality.meter() as meter:
    for planes in states:
      meter.add(frame, {'coarse': planes})
    both = meter.scores()['coarse']
  assert both.vmaf is None
  for key in ('psnr', 'ssim'):
    np.testing.assert_allclose(getattr(both, key), np.mean(
        [getattr(one, key) for one in each], 0))


# Speaks of libvmaf when asked for its filters; else writes the log that it is
# told to, with the number of bytes of the first input as the score.
_STAND_IN = '''#!{python}
import json, os, sys
words = sys.argv[1:]
if '-filters' in words:
  print(' .. libvmaf           VV->V      Calculate the VMAF')
  raise SystemExit
print('first line', 'the reason', sep=chr(10))
first, second = [words[i + 1] for i, word in enumerate(words) if word == '-i']
assert second == 'original.yuv'
score = os.path.getsize(first) / os.path.getsize(second) * 50
open('vmaf.json', 'w').write({text})
open({words!r}, 'w').write(json.dumps(words))
'''
_LOG = 'json.dumps({"pooled_metrics": {"vmaf": {"mean": score}}})'


def _program(folder, text=_LOG):
  path = folder / 'ffmpeg'
  path.write_text(_STAND_IN.format(python=sys.executable, text=text,
                                   words=str(folder / 'words')))
  path.chmod(0o755)
  return vmaf.find(str(path))


def test_vmaf_is_the_program_s(tmp_path):
  frame = wave_frames.frame(depth=10)
  with quality.meter(_program(tmp_path)) as meter:
    for _ in range(2):
      meter.add(frame, {'a/b: $HOME': frame.planes})
    scores = meter.scores()
  assert scores['a/b: $HOME'].vmaf == 50
  words = json.loads((tmp_path / 'words').read_text())
  assert words.count('yuv420p10le') == 2 and words.count('64x48') == 2
  assert not any('HOME' in word for word in words)


def test_an_ffmpeg_that_gives_no_score_is_told(tmp_path):
  frame = wave_frames.frame()
  with pytest.raises(errors.InputError) as caught, quality.meter(
      _program(tmp_path, '"{}"')) as meter:
    meter.add(frame, {'same': frame.planes})
    meter.scores()
  assert 'gave no score for 64x48' in str(caught.value)
  assert 'first line | the reason' in str(caught.value)


def test_programs_without_libvmaf_are_not_taken(tmp_path):
  assert vmaf.find('no-such-ffmpeg') is None
  plain = tmp_path / 'ffmpeg'
  plain.write_text('#!/bin/sh\necho " .. scale V->V"\n')
  plain.chmod(0o755)
  assert vmaf.find(str(plain)) is None
  plain.write_bytes(b'no program')
  assert vmaf.find(str(plain)) is None


def test_frames_without_chroma_have_no_vmaf(tmp_path):
  gray = frames.Frame((np.zeros((32, 32), np.uint8),),
                      frames.Format(32, 32, 8, '400'))
  with quality.meter(_program(tmp_path)) as meter:
    meter.add(gray, {'same': gray.planes})
    assert meter.scores()['same'].vmaf is None


@pytest.mark.skipif(vmaf.find(os.environ.get('FFMPEG', 'ffmpeg')) is None,
                    reason='no ffmpeg with libvmaf on PATH or by FFMPEG=')
def test_vmaf_of_a_real_ffmpeg_falls_with_the_quality():
  frame = wave_frames.frame(128, 96)
  with quality.meter(
      vmaf.find(os.environ.get('FFMPEG', 'ffmpeg'))) as meter:
    meter.add(frame, {step: [plane // step * step for plane in frame.planes]
                      for step in (2, 64)})
    scores = meter.scores()
  assert 100 >= scores[2].vmaf > scores[64].vmaf + 5
