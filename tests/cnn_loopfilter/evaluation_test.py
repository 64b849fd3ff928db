import dataclasses
import math

import numpy as np
import pytest
import scipy.interpolate

from cnn_loopfilter import bd_rate
from cnn_loopfilter import errors
from cnn_loopfilter import evaluation
from cnn_loopfilter import figures
from cnn_loopfilter import frames
from cnn_loopfilter import pictures
from cnn_loopfilter.codec import cached
from cnn_loopfilter.codec import x265

_BITS = [100e3, 180e3, 310e3, 560e3]
_PSNR = [31.0, 33.9, 36.8, 40.1]


def test_a_constant_saving_is_found():
  saved = [0.93 * bits for bits in _BITS]
  assert bd_rate.bd_rate(_BITS, _PSNR, saved, _PSNR) == pytest.approx(-7)
  assert bd_rate.bd_rate(_BITS[::-1], _PSNR[::-1], _BITS, _PSNR) == 0


def test_it_is_the_mean_difference_of_two_pchip_curves():
  other = [31.4, 34.1, 37.3, 40.2]
  grid = np.linspace(31.4, 40.1, 200001)
  curves = [scipy.interpolate.PchipInterpolator(psnr, np.log10(_BITS))(grid)
            for psnr in (_PSNR, other)]
  expected = 100 * (10 ** np.mean(curves[1] - curves[0]) - 1)
  assert bd_rate.bd_rate(_BITS, _PSNR, _BITS, other) == pytest.approx(
      expected, abs=1e-3)


@pytest.mark.parametrize('bits, psnr, message', [
    (_BITS[:3], _PSNR[:3], 'got 3 rates and 3 PSNRs'),
    (_BITS, _PSNR[:3], 'got 4 rates and 3 PSNRs'),
    (_BITS, [10.0, 12.0, 14.0, 16.0], 'do not overlap'),
    (_BITS, [31.0, 33.0, 33.0, 34.0], 'a PSNR that rises'),
    (_BITS, [31.0, 33.0, 35.0, math.inf], 'finite PSNRs'),
    ([0, *_BITS[1:]], _PSNR, 'rates above 0'),
])
def test_curves_that_give_no_bd_rate_are_told(bits, psnr, message):
  with pytest.raises(errors.InputError, match=message):
    bd_rate.bd_rate(_BITS, _PSNR, bits, psnr)


def _sequence(name, group, shift):
  y, x = np.mgrid[:64, :96]
  waves = [128 + 60 * np.sin(x / (4 + c) + y / (7 + shift))
           * (x > 30 + shift) + 8 * np.sin(x * y / 5) for c in range(3)]
  one = pictures.from_array(name, np.stack(waves, -1).astype(np.uint8))
  return frames.Sequence(name, one.format, 1, one.open, group)


@pytest.fixture(scope='module', name='measured')
def _measured():
  sequences = [_sequence('one', 'A', 0), _sequence('two', 'B', 3),
               _sequence('three', 'B', 9)]
  return sequences, evaluation.evaluate(
      sequences, x265.X265('ultrafast'), (22, 27, 32, 37),
      {'same': lambda plane, qp: plane,
       'worse': lambda plane, qp: plane // 4 * 4})


def test_bits_and_psnr_are_the_codec_s(measured):
  sequences, found = measured
  frame = next(sequences[1].open())
  coded = next(x265.X265('ultrafast').encode([frame], 32, 'deblocking'))
  point = found[1].points['deblocking'][32]
  assert point.bits == coded.bits
  for plane, other, value in zip(frame.planes, coded.reconstruction.planes,
                                 point.psnr):
    mean = np.mean((plane.astype(float) - other) ** 2)
    assert value == pytest.approx(10 * np.log10(255 ** 2 / mean))


def test_a_filter_that_does_nothing_equals_no_filter(measured):
  found = measured[1]
  rows = evaluation.bd_rates(found, 'none')
  same = [row for row in rows if row.state == 'same']
  assert [row.name for row in same] == [
      'one', 'two', 'three', 'A', 'B', 'average']
  assert all(row.percent == (0, 0, 0) for row in same)
  assert all(row.percent[0] > 1 for row in rows if row.state == 'worse')


def test_groups_and_the_average_are_means_of_sequences(measured):
  rows = {row.name: row.percent[0]
          for row in evaluation.bd_rates(measured[1], 'none')
          if row.state == 'all'}
  assert rows['A'] == rows['one']
  assert rows['B'] == pytest.approx((rows['two'] + rows['three']) / 2)
  assert rows['average'] == pytest.approx(
      (rows['one'] + rows['two'] + rows['three']) / 3)


def test_a_filter_that_changes_the_size_is_told():
  with pytest.raises(errors.InputError, match='filter half: got uint8'):
    evaluation.evaluate([_sequence('one', '', 0)], x265.X265('ultrafast'),
                        (30,), {'half': lambda plane, qp: plane[::2]})
  with pytest.raises(errors.InputError, match="got the name 'all'"):
    evaluation.evaluate([], x265.X265(), (30,), {'all': lambda p, q: p})


def test_filters_by_qp_take_the_nearest_and_are_told_its_qp():
  told = []
  joined = evaluation.by_qp({
      own: lambda plane, qp, own=own: told.append((own, qp)) or plane
      for own in (27, 22, 32)})
  for qp in (0, 24, 25, 29, 51):
    joined(np.zeros((2, 2)), qp)
  assert told == [(22, 22), (22, 22), (27, 27), (27, 27), (32, 32)]
  # 24.5 lies between: the lower one.
  told.clear()
  joined(np.zeros((2, 2)), 24.5)
  assert told == [(22, 22)]


def test_every_measure_has_its_bd_rates(measured):
  found = measured[1]
  for measure, columns in (('psnr', 3), ('ssim', 3)):
    rows = evaluation.bd_rates(found, 'none', measure=measure)
    assert {row.measure for row in rows} == {measure}
    by_state = {row.state: row.percent for row in rows
                if row.name == 'average'}
    assert by_state['same'] == (0,) * columns
    assert by_state['worse'][0] > 1
  # Nobody measured VMAF: no curve.
  rows = evaluation.bd_rates(found, 'none', measure='vmaf')
  assert all(row.percent == (None,) for row in rows)


def test_seconds_are_summed_and_a_filter_adds_its_own(measured):
  _, found = measured
  points = {state: points[32] for state, points in found[0].points.items()}
  for point in points.values():
    assert point.encode_s > 0 and point.decode_s > 0
  assert points['worse'].decode_s > points['none'].decode_s
  assert points['worse'].encode_s > points['none'].encode_s


def test_codings_from_a_cache_have_no_times(tmp_path):
  for known in (False, True):
    found = evaluation.evaluate(
        [_sequence('one', '', 0)],
        cached.Cached(x265.X265('ultrafast'), tmp_path), (30,),
        {'same': lambda plane, qp: plane})
    point = found[0].points['same'][30]
    assert (point.decode_s is None) == known


def test_pictures_are_written(measured, tmp_path):
  sequences, found = measured
  paths = figures.write(tmp_path, found)
  frame = next(sequences[0].open())
  cuts = figures.cut({'original': frame, 'none': frame}, 32)
  assert cuts['none'].shape == (32, 32, 3)
  figures.crops(tmp_path / 'crop.png', cuts)
  assert list(paths) == ['average', 'one', 'two', 'three']
  assert {p.name for p in tmp_path.glob('*.png')} == {
      'crop.png', *(path.name for path in paths.values())}


def test_the_average_is_of_bits_and_psnr(measured):
  found = measured[1]
  mean = figures.average(found).points['all'][27]
  own = [result.points['all'][27] for result in found]
  assert mean.bits == round(sum(point.bits for point in own) / 3)
  np.testing.assert_allclose(
      mean.psnr, np.mean([point.psnr for point in own], 0))
  gray = dataclasses.replace(found[0], points={'all': {
      27: evaluation.Point(own[0].bits, own[0].psnr[:1])}})
  luma = figures.average([gray, found[1]]).points['all'][27].psnr
  assert luma == ((own[0].psnr[0] + own[1].psnr[0]) / 2,)
