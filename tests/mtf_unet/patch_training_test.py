"""Patches, deep supervision, windows and flips together in one short job."""

import json

import pytest

from mtf_unet import checkpoints
from mtf_unet import inference
from mtf_unet import layout
from mtf_unet import training
from tests.mtf_unet import jobs

pytestmark = pytest.mark.slow

_CONFIG = jobs.config(
    data={'patches': True, 'patch_margin': 2, 'foreground_share': 0.5},
    mesh={'spatial_split': (2, 1, 1)},
    network={'levels': 3, 'convolutions_per_level': 1, 'deep_supervision': 1},
    training={'steps': 3, 'save_every_steps': 3, 'evaluate_every_steps': 3},
    prediction={'method': 'sliding_window', 'flip_axes': (0,)})
# Two and a half windows along x.
_LARGER = jobs.config(data={'size': (40, 16, 12)})


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp('patches')
  lines = []
  training.train(
      training.Job(_CONFIG, str(folder), report=lines.append),
      jobs.cases(3, _LARGER), jobs.cases(2, _LARGER, seed=1))
  assert lines[-1].startswith('Step 3: mean validation Dice')
  return folder


def test_volumes_larger_than_a_patch_are_trained_on_and_scored(folder):
  summary = json.loads((folder / 'eval' / 'metrics-3.json').read_text())
  assert [case['name'] for case in summary['cases']] == ['case_0', 'case_1']


def test_the_checkpoint_holds_the_heads_and_prediction_leaves_them(folder):
  names = jobs.weights(checkpoints.latest(str(folder)))
  assert {'head_1/kernel', 'head_1/bias'} <= set(names)
  image = jobs.cases(1, _LARGER)[0].image
  probabilities = inference.ensemble_of(
      _CONFIG, layout.partition(_CONFIG.mesh), [str(folder)]
      ).probabilities(image)
  assert probabilities.shape == (40, 16, 12, 3)
