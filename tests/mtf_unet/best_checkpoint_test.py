"""Which checkpoint is kept, and that it is kept whole."""

import pytest

from mtf_unet import best_checkpoint
from mtf_unet import checkpoints
from mtf_unet import errors
from tests.mtf_unet import jobs


def test_best_keeps_the_highest_score(tmp_path):
  best = best_checkpoint.BestCheckpoint(str(tmp_path))
  assert best.score == float('-inf')
  offers = {step: best.offer(jobs.write_checkpoint(tmp_path, step), score)
            for step, score in ((1, 0.5), (2, 0.4), (3, 0.5), (4, 0.6))}
  assert offers == {1: True, 2: False, 3: False, 4: True}
  assert checkpoints.complete(str(tmp_path / 'best')) == [
      str(tmp_path / 'best' / 'model.ckpt-4')]
  assert checkpoints.for_prediction(str(tmp_path)).endswith('best/model.ckpt-4')
  # What a resumed training finds.
  assert best_checkpoint.BestCheckpoint(str(tmp_path)).score == 0.6


def test_best_survives_a_stop_between_its_renames(tmp_path):
  best_checkpoint.BestCheckpoint(str(tmp_path)).offer(
      jobs.write_checkpoint(tmp_path, 1), 0.5)
  (tmp_path / 'best').rename(tmp_path / 'best.new')
  assert best_checkpoint.BestCheckpoint(str(tmp_path)).score == 0.5
  assert checkpoints.for_prediction(str(tmp_path)).endswith('best/model.ckpt-1')


def test_best_that_cannot_be_copied_is_told_and_stays(tmp_path, monkeypatch):
  best = best_checkpoint.BestCheckpoint(str(tmp_path))
  best.offer(jobs.write_checkpoint(tmp_path, 1), 0.5)

  def full_disk(*_):
    raise OSError(28, 'No space left on device')
  monkeypatch.setattr(best_checkpoint.shutil, 'copy', full_disk)
  with pytest.raises(errors.InputError, match='No space left on device'):
    best.offer(jobs.write_checkpoint(tmp_path, 2), 0.6)
  assert best.score == 0.5
  assert not (tmp_path / 'best.new').exists()
