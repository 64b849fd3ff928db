"""How far a filter reads beyond a block."""

import pytest

from mtf_unet import window


@pytest.mark.parametrize('kernel, stride, dilation, before, after', [
    (3, 1, 1, 1, 1),   # y[j] reads x[j - 1 .. j + 1]
    (3, 2, 1, 0, 1),   # SAME pads one voxel, behind
    (2, 2, 1, 0, 0),   # windows do not overlap
    (3, 1, 2, 2, 2),
    (9, 1, 1, 4, 4),
])
def test_margins_are_those_of_same_padding(kernel, stride, dilation, before,
                                           after):
  geometry = window.Geometry.of([kernel], [stride], [dilation])
  assert geometry.input_margins == [(before, after)]


@pytest.mark.parametrize('kernel, stride, before, after', [
    (3, 1, 1, 1),  # dx[i] reads dy[i - 1 .. i + 1]
    (2, 2, 0, 0),
    (3, 2, 1, 0),  # dx[2 j] is reached by taps 0 of y[j] and 2 of y[j - 1]
])
def test_margins_of_the_input_gradient(kernel, stride, before, after):
  geometry = window.Geometry.of([kernel], [stride], [1])
  assert geometry.output_margins == [(before, after)]
