import dataclasses
import json
import pathlib
import random

import numpy as np
import pytest

from lamb import errors
from lamb.bert import config as config_lib
from lamb.bert import loss_log
from lamb.bert import machine
from lamb.bert import pretraining
from lamb.bert import scaling_runs
from lamb.bert import scaling_study
from tests import script_server

_STUDY = scaling_study.Study(
    examples=32, grid_examples=16, batches=(4, 8), warmup_steps=1,
    rates=dict.fromkeys(scaling_study.OPTIMIZERS, (0.1, 0.2)),
    sequence_length=16, long_sequence_length=32)
_CONFIG = config_lib.BertConfig(
    vocab_size=60, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
    intermediate_size=16, max_position_embeddings=32)


def _fake(monkeypatch, trained, stop_after=None):
  """Replaces the trainings by a log of one loss, the learning rate's."""
  def train(job):
    if len(trained) == stop_after:
      raise KeyboardInterrupt
    trained.append(pathlib.Path(job.model_dir).name)
    stage = job.stages[0]
    if stage.learning_rate > 0.25:
      raise machine.DivergedError('the loss became NaN')
    pathlib.Path(job.model_dir).mkdir(parents=True)
    rows = [dict.fromkeys(loss_log.COLUMNS, stage.learning_rate)
            | {'step': step} for step in range(1, job.total_steps + 1)]
    text = [','.join(loss_log.COLUMNS)] + [
        ','.join(map(str, (row[name] for name in loss_log.COLUMNS)))
        for row in rows]
    (pathlib.Path(job.model_dir) / loss_log.FILE).write_text(
        '\n'.join(text) + '\n')

  monkeypatch.setattr(pretraining, 'train', train)
  monkeypatch.setattr(
      pretraining, 'evaluate', lambda job, files, stage: dict.fromkeys(
          scaling_study.METRICS, 0.3))


def _laboratory(folder):
  return scaling_runs.Laboratory(
      _STUDY, _CONFIG, folder, (), (),
      lambda settings, seed: {'config_hash': 'x', 'seed': seed, 'commit': 'y'},
      report=lambda line: None)


def test_stopped_study_goes_on_with_the_next_run(tmp_path, monkeypatch):
  trained = []
  _fake(monkeypatch, trained, stop_after=7)
  with pytest.raises(KeyboardInterrupt):
    scaling_runs.run_all(_laboratory(tmp_path))
  assert not (tmp_path / 'summary.json').exists()
  _fake(monkeypatch, trained)
  scaling_runs.run_all(_laboratory(tmp_path))
  assert len(trained) == len(set(trained)) == 6 + 6
  assert trained[2] == 'lamb_4'  # what decides comes early
  summary = json.loads((tmp_path / 'summary.json').read_text())
  assert summary['rates'] == {'lamb': 0.1, 'adamw': 0.1, 'lars': 0.1}
  assert summary['run'] == {'config_hash': 'x', 'seed': 12345, 'commit': 'y'}


def test_metrics_hold_settings_compute_and_curve(tmp_path, monkeypatch):
  _fake(monkeypatch, [])
  scaling_runs.run_all(_laboratory(tmp_path))
  found = json.loads((tmp_path / 'lamb_8/metrics.json').read_text())
  assert found['masked_lm_accuracy'] == 0.3
  assert found['optimizer']['name'] == 'lamb'
  assert found['optimizer']['bias_correction']
  assert found['curve']['examples'] == [8, 16, 24, 32]
  assert found['final_masked_lm_loss'] == pytest.approx(0.1 * 2 ** 0.5)
  assert found['flop'] > 0 and found['examples'] == 32


def test_diverged_run_is_a_result(tmp_path, monkeypatch):
  _fake(monkeypatch, [])
  run = scaling_study.full_runs(_STUDY, 'lamb', 0.3)[0]
  found = scaling_runs.run_once(_laboratory(tmp_path), run)
  assert found['masked_lm_accuracy'] == found['final_masked_lm_loss'] == (
      'diverges')
  assert scaling_runs.run_once(_laboratory(tmp_path), run)['curve'] == {
      'step': [], 'examples': [], 'masked_lm_loss': []}


def test_run_of_other_settings_is_not_taken_for_this_one(tmp_path,
                                                        monkeypatch):
  _fake(monkeypatch, [])
  run = scaling_study.grid(_STUDY, 'lamb')[0]
  scaling_runs.run_once(_laboratory(tmp_path), run)
  other = dataclasses.replace(run, stages=(
      dataclasses.replace(run.stages[0], steps=9),))
  with pytest.raises(errors.InputError, match='run with another stages'):
    scaling_runs.run_once(_laboratory(tmp_path), other)


def _text(path, seed, documents):
  words = [f'w{i}' for i in range(40)]
  rng = random.Random(seed)
  path.write_text('\n\n'.join(
      '\n'.join(' '.join(rng.choices(words, k=8)) for _ in range(6))
      for _ in range(documents)) + '\n')
  return words


def _write_done(folder, config_file):
  """Writes metrics of all runs but LAMB's full ones, and the network."""
  config = dataclasses.replace(_CONFIG, vocab_size=45)
  config_file.write_text(json.dumps(dataclasses.asdict(config)))
  study = dataclasses.replace(
      _STUDY, batches=(4,), examples=16, grid_examples=8,
      rates=dict.fromkeys(scaling_study.OPTIMIZERS, (0.01,)))
  runs = [run for name in scaling_study.OPTIMIZERS
          for run in scaling_study.grid(study, name)]
  runs += [run for name in scaling_study.OPTIMIZERS
           for run in scaling_study.full_runs(study, name, 0.01)]
  laboratory = dataclasses.replace(
      _laboratory(folder), config=config.without_dropout())
  for run in runs:
    if run.name not in ('lamb_4', 'lamb_mixed'):
      (folder / run.name).mkdir(parents=True)
      (folder / run.name / 'metrics.json').write_text(json.dumps(
          dict.fromkeys(scaling_study.METRICS, 0.1)
          | {'final_masked_lm_loss': 1.0, 'flop': 1, 'seconds': 1.0}
          | scaling_runs._settings(laboratory, run)))


def _run_script(folder, *arguments):
  return script_server.run(
      'scripts/lamb/bert_batch_scaling.py', f'--text={folder / "train.txt"}',
      f'--eval_text={folder / "eval.txt"}',
      f'--vocab_file={folder / "vocab.txt"}',
      f'--bert_config_file={folder / "config.json"}',
      f'--output_dir={folder / "runs"}', '--batches=4', '--examples=16',
      '--grid_examples=8', '--warmup_steps=1', '--sequence_lengths=16,32',
      '--dupe_factor=1', '--lamb_rates=0.01', '--adamw_rates=0.01',
      '--lars_rates=0.01', *arguments)


@pytest.mark.slow
def test_script_runs_what_is_missing_on_a_text(tmp_path):
  _write_done(tmp_path / 'runs', tmp_path / 'config.json')
  words = _text(tmp_path / 'train.txt', 0, 20)
  _text(tmp_path / 'eval.txt', 1, 4)
  vocabulary = '\n'.join(
      ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', *words]) + '\n'
  (tmp_path / 'vocab.txt').write_text(vocabulary)
  done = _run_script(tmp_path)
  assert done.returncode == 0, done.stderr
  last = done.stdout.splitlines()[-1]
  assert last.startswith('inconclusive: at batch 4 the masked-LM accuracy')
  mixed = json.loads((tmp_path / 'runs/lamb_mixed/metrics.json').read_text())
  assert mixed['curve']['examples'][-1] == 16
  assert np.isfinite(mixed['masked_lm_loss'])
  assert mixed['run']['config_hash'] and mixed['run']['seed'] == 12345
  assert mixed['network']['hidden_dropout_prob'] == 0
  # The records are not taken for those of other options.
  done = _run_script(tmp_path, '--dupe_factor=2')
  assert done.returncode == 1
  assert "made of {'max_seq_length': 16" in done.stderr
  (tmp_path / 'vocab.txt').write_text(vocabulary + 'one\nmore\n')
  done = _run_script(tmp_path)
  assert 'vocab.txt: 47 tokens, but the network has vocab_size=45' in (
      done.stderr)
