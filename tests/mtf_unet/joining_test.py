"""Channels side by side, whatever their dims are called."""

import numpy as np
import pytest
import tensorflow as tf

from mtf_unet import joining
from mtf_unet.mtf_compat import mtf
from tests.mtf_unet import lowered

_X = np.random.RandomState(0).randn(1, 4, 4, 2, 3).astype(np.float32)


def _doubled(x):
  """Joins x with twice x under another name of the channels."""
  other = mtf.rename_dimension(2.0 * x, 'channels', 'others')
  return joining.join(x, other)


@pytest.mark.parametrize('name', ['1x1x1', '2x2x1'])
def test_join_and_its_gradient_equal_concatenation(name):
  came = lowered.run_layer(_doubled, _X, lowered.MESHES[name])
  lowered.assert_equal(came, lowered.plain(
      lambda x: tf.concat([x, 2 * x], -1), _X, came))


def test_other_edges_are_refused():
  with (lowered.bench(lowered.MESHES['1x1x1']) as b,
        pytest.raises(ValueError, match='expected the batch and spatial')):
    joining.join(b.activation(_X), b.activation(_X[:, :2]))
