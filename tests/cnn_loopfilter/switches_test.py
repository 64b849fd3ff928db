import itertools

import numpy as np
import pytest

from cnn_loopfilter import blocks
from cnn_loopfilter import frames
from cnn_loopfilter import switch_coding
from cnn_loopfilter import switches


def _frame(layout, seed=0, low=0, high=256):
  random = np.random.default_rng(seed)
  return frames.Frame(tuple(
      random.integers(low, high, shape).astype(
          frames.sample_dtype(layout.depth))
      for shape in layout.plane_shapes), layout)


def _mixed(layout, first, second, where):
  """A frame of `second` in the left part, else of `first`."""
  planes = []
  for one, other in zip(first.planes, second.planes):
    edge = int(one.shape[1] * where)
    planes.append(np.concatenate([other[:, :edge], one[:, edge:]], 1))
  return frames.Frame(tuple(planes), layout)


@pytest.mark.parametrize('qp, expected', [
    (12, 0.57), (15, 1.14), (22, 0.57 * 2 ** (10 / 3)), (36, 0.57 * 256)])
def test_lambda_is_hms(qp, expected):
  layout = frames.Format(64, 64)
  assert switches.multiplier(qp, layout, 0) == pytest.approx(expected)
  ten = frames.Format(64, 64, 10)
  assert switches.multiplier(qp, ten, 0) == pytest.approx(16 * expected)


def test_chroma_takes_hevcs_chroma_qp():
  assert [switches.chroma_qp(qp, '420') for qp in (0, 29, 30, 37, 43, 51)] == [
      0, 29, 29, 34, 37, 45]
  assert switches.chroma_qp(40, '444') == 40
  layout = frames.Format(64, 64)
  assert switches.multiplier(37, layout, 1) == pytest.approx(
      0.57 * 2 ** (22 / 3))


@pytest.mark.parametrize('chroma', list(frames.SUBSAMPLING))
@pytest.mark.parametrize('coding', switch_coding.CODINGS)
def test_the_better_part_is_switched_on(chroma, coding):
  layout = frames.Format(128, 64, 8, chroma)
  grid = blocks.Grid(layout)
  original, unfiltered = _frame(layout, 0), _frame(layout, 1)
  filtered = _mixed(layout, _frame(layout, 2), original, 0.5)
  # The right half of the filter's output is worse than no filter.
  unfiltered = _mixed(layout, original, unfiltered, 0.5)
  model = switch_coding.make(coding).model
  chosen = switches.choose(grid, original, unfiltered, filtered, 30, model)
  for one in chosen:
    np.testing.assert_array_equal(one, [[True, False]])
  best = switches.apply(grid, chosen, unfiltered, filtered)
  for plane, other in zip(best.planes, original.planes, strict=True):
    np.testing.assert_array_equal(plane, other)


@pytest.mark.parametrize('better, expected', [(1, True), (0, False)])
def test_whole_planes_cost_one_decision(better, expected):
  layout = frames.Format(256, 128)
  original, worse = _frame(layout, 0, 100, 120), _frame(layout, 1, 0, 256)
  pair = (original, worse) if better == 0 else (worse, original)
  chosen = switches.choose(blocks.Grid(layout), original, *pair, 30,
                           switch_coding.Arithmetic().model)
  assert all((one == expected).all() for one in chosen)


def test_a_gain_smaller_than_its_bits_is_left():
  layout = frames.Format(128, 64, 8, '400')
  original = _frame(layout, 0, 100, 101)
  plane = original.planes[0].copy()
  plane[0, 0] += 3
  filtered = original.planes[0].copy()
  filtered[0, 100] += 2
  unfiltered, filtered = (frames.Frame((one,), layout)
                          for one in (plane, filtered))
  model = switch_coding.Plain().model
  # Errors: 9 and 0 unfiltered, 0 and 4 filtered. By block 4 bits save 4 over
  # the 1 bit of `on`; lambda at QP 12 is 0.57, at QP 18 2.28.
  for qp, expected in ((12, [True, False]), (18, [True, True])):
    chosen = switches.choose(blocks.Grid(layout), original, unfiltered,
                             filtered, qp, model)
    np.testing.assert_array_equal(chosen[0], [expected])


def test_plain_bits_reach_the_least_cost_of_all_switches():
  layout = frames.Format(128, 128, 8, '400')
  grid = blocks.Grid(layout)
  model = switch_coding.Plain().model
  for seed in range(8):
    random = np.random.default_rng(seed)
    off = random.integers(0, 2000, (2, 2)) + 9
    on = off + random.integers(-300, 300, (2, 2))
    original = _frame(layout, 0, 100, 101)
    # One sample of each block carries its error; squares are near enough.
    pair = []
    for error in (off, on):
      plane = original.planes[0].copy()
      plane[::64, ::64] += np.sqrt(error).astype(np.uint8)
      pair.append(frames.Frame((plane,), layout))
    errors = [blocks.squared_errors(grid, 0, original.planes[0], f.planes[0])
              for f in pair]
    factor = switches.multiplier(34, layout, 0)

    def cost(one, errors=errors, factor=factor):
      return np.where(one, errors[1], errors[0]).sum() + factor * (
          switch_coding.cost(model, switch_coding.flags(0, one)))

    least = min(cost(np.array(choice).reshape(2, 2)) for choice in
                itertools.product([False, True], repeat=4))
    chosen = switches.choose(grid, original, *pair, 34, model)
    assert cost(chosen[0]) == pytest.approx(least)
