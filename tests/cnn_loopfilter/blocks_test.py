import numpy as np
import pytest

from cnn_loopfilter import blocks
from cnn_loopfilter import errors
from cnn_loopfilter import frames


@pytest.mark.parametrize('chroma, edges', [
    ('420', (32, 32)), ('422', (64, 32)), ('444', (64, 64))])
def test_chroma_blocks_follow_the_subsampling(chroma, edges):
  grid = blocks.Grid(frames.Format(130, 66, 8, chroma))
  assert grid.shape == (2, 3)
  assert (grid.edges(0), grid.edges(1)) == ((64, 64), edges)


@pytest.mark.parametrize('component', [0, 1])
@pytest.mark.parametrize('size', blocks.SIZES)
@pytest.mark.parametrize('width, chroma', [(150, '422'), (129, '420')])
def test_sums_are_those_of_slices_at_the_border_too(component, size, width,
                                                    chroma):
  grid = blocks.Grid(frames.Format(width, 65, 8, chroma), size)
  shape = grid.format.plane_shapes[component]
  values = np.random.default_rng(0).integers(0, 99, shape)
  height, width = grid.edges(component)
  sums = grid.sums(component, values)
  assert sums.shape == grid.shape
  for row, column in np.ndindex(grid.shape):
    assert sums[row, column] == values[
        row * height:(row + 1) * height,
        column * width:(column + 1) * width].sum()


def test_every_sample_gets_its_blocks_value():
  grid = blocks.Grid(frames.Format(70, 40, 8, '420'), 32)
  numbers = np.arange(6).reshape(grid.shape)
  luma, chroma = grid.spread(0, numbers), grid.spread(1, numbers)
  assert (luma.shape, chroma.shape) == ((40, 70), (20, 35))
  for place in ((0, 0), (31, 31), (32, 0), (39, 69), (0, 64)):
    assert luma[place] == 3 * (place[0] // 32) + place[1] // 32
    half = (place[0] // 2, place[1] // 2)
    assert chroma[half] == luma[place]


def test_errors_do_not_overflow_at_12_bits():
  grid = blocks.Grid(frames.Format(128, 128, 12, '400'), 128)
  high = np.full((128, 128), 4095, '<u2')
  assert blocks.squared_errors(grid, 0, high, high * 0) == 128 ** 2 * 4095 ** 2


def test_another_size_is_refused():
  with pytest.raises(errors.InputError, match='got 48 luma samples, expected'):
    blocks.Grid(frames.Format(64, 64), 48)
