import dataclasses

import numpy as np
import pytest
from skimage import data

from cnn_loopfilter import checkpoints
from cnn_loopfilter import compression_job
from cnn_loopfilter import errors
from cnn_loopfilter import float_filter
from cnn_loopfilter import pictures
from cnn_loopfilter import training
from cnn_loopfilter.codec import x265
from tests.cnn_loopfilter import patch_batches


@pytest.fixture(scope='module')
def source(tmp_path_factory):
  """A filter of 10 and 10 filters, barely trained."""
  folder = tmp_path_factory.mktemp('source')
  config = patch_batches.config(network={'filters': (10, 10)},
                                training={'steps': 2})
  training.train(training.Job(config, str(folder), report=lambda line: None),
                 patch_batches.training())
  return checkpoints.read_filter(folder)


def _study(source, folder, lines=None, **groups):
  config = patch_batches.config(
      compression={'keep_macs': 0.5, 'minimum_width': 2}, **groups)
  report = lines.append if lines is not None else lambda line: None
  return compression_job.Study(
      source, config, folder, lambda settings: patch_batches.training(),
      patch_batches.held_out(), report=report)


@pytest.fixture(scope='module')
def compressed(source, tmp_path_factory):
  folder, lines = tmp_path_factory.mktemp('study'), []
  study = _study(source, folder, lines)
  pruned, tuned = compression_job.compress(study, 'scale', 'compressed')
  return study, pruned, tuned, lines


def test_compressed_filter_has_the_pruned_widths_and_other_weights(compressed):
  study, pruned, tuned, _ = compressed
  assert tuned.widths == pruned.widths
  assert tuned.macs_per_sample <= 0.5 * study.source.macs_per_sample
  assert np.abs(tuned.layers[0].kernel - pruned.layers[0].kernel).max() > 0


def test_filters_are_kept_as_files_that_tell_where_they_come_from(compressed):
  study, pruned, tuned, _ = compressed
  stored = float_filter.load(study.folder / 'compressed' / 'filter.npz')
  np.testing.assert_array_equal(stored.layers[1].kernel,
                                tuned.layers[1].kernel)
  assert stored.description['compression']['importance'] == 'scale'
  assert stored.description['compressed from']['step'] == 2
  assert float_filter.load(
      study.folder / 'compressed' / 'pruned.npz').widths == pruned.widths


def test_fine_tuning_starts_at_the_pruned_weights(source, tmp_path):
  study = _study(source, tmp_path, training={'steps': 1},
                 optimizer={'learning_rate': 1e-12})
  pruned, tuned = compression_job.compress(study, 'magnitude', 'magnitude')
  for old, new in zip(pruned.layers, tuned.layers):
    np.testing.assert_allclose(new.kernel, old.kernel, atol=1e-6)


def test_compressing_again_goes_on_where_it_was(compressed):
  study, _, tuned, lines = compressed
  before = len(lines)
  _, again = compression_job.compress(study, 'scale', 'compressed')
  assert 'nothing to train' in lines[before]
  assert lines[before].startswith('compressed: ')
  np.testing.assert_array_equal(again.layers[0].kernel, tuned.layers[0].kernel)


def test_control_from_scratch_lasts_as_long_as_both_trainings(compressed):
  study, _, tuned, lines = compressed
  # The source took 2 steps, the fine-tuning 6, both of 4 patches.
  scratch = compression_job.from_scratch(study, tuned)
  assert scratch.description['step'] == 8
  assert scratch.widths == tuned.widths
  assert scratch.description['config']['training']['warm_start'] == ''
  assert not any('scratch: Starting from' in line for line in lines)


def test_scratch_needs_to_know_the_recipe(compressed):
  study, _, tuned, _ = compressed
  unknown = dataclasses.replace(study, source=dataclasses.replace(
      study.source, description={}))
  with pytest.raises(errors.InputError, match='how it was trained'):
    compression_job.from_scratch(unknown, tuned)


def test_scores_of_all_variants_stand_side_by_side(compressed):
  study, pruned, tuned, _ = compressed
  variants = {'before': study.source, 'pruned': pruned, 'compressed': tuned}
  scores = compression_job.score(study, variants)
  lines = compression_job.format_scores(scores).splitlines()
  assert lines[0].split() == ['component', 'QP', *variants]
  assert len(lines) == 2 + len(scores['before'])
  assert lines[-1].split()[0] == 'mean'
  rates = {'compressed': (-1.5, None, -3.0)}
  found = compression_job.summary(study, variants, scores, rates)
  assert found['compressed']['bd_rate_percent'] == [-1.5, None, -3.0]
  assert found['compressed']['filters'] == list(tuned.widths)
  assert found['compressed']['layers'][-1]['macs'] == [
      study.source.macs_per_sample, tuned.macs_per_sample]


def test_overview_has_a_line_for_each_variant(compressed):
  study, pruned, _, _ = compressed
  variants = {'before': study.source, 'pruned': pruned}
  scores = compression_job.score(study, variants)
  rates = {'before': (-7.25, -8.0, None), 'pruned': (1.0, 2.0, 3.0)}
  lines = compression_job.format_overview(study, variants, scores,
                                          rates).splitlines()
  assert lines[1].split()[:3] == ['before', '1170', '100.0%']
  assert lines[1].split()[-3:] == ['-7.25', '-8.00', '-']
  assert lines[2].split()[-3:] == ['+1.00', '+2.00', '+3.00']


def test_bd_rate_of_a_filter_that_changes_nothing_is_that_of_none(source):
  idle = dataclasses.replace(source, layers=(
      *source.layers[:-1], dataclasses.replace(
          source.layers[-1], kernel=0 * source.layers[-1].kernel,
          bias=0 * source.layers[-1].bias)))
  picture = pictures.from_array('astronaut', data.astronaut()[:96, 160:288])
  rates = compression_job.bd_rates({'idle': idle}, [picture], x265.X265(),
                                   (22, 27, 32, 37))
  assert rates['idle'] == rates['none']
  assert rates['none'][0] > 0
