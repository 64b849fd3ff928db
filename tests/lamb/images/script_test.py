"""scripts/lamb/train_image_classifier.py, as a user runs it."""

import json

import pytest

from tests import script_server
from tests.lamb.images import pictures


def _run(*arguments, config='davidnet.py'):
  return script_server.run('scripts/lamb/train_image_classifier.py',
                           f'--config=configs/lamb/{config}', *arguments)


@pytest.mark.slow
def test_training_leaves_metrics_that_name_their_run(tmp_path):
  pictures.write(tmp_path / 'data')
  keys = {'data.dataset': 'tiny', 'data.num_classes': 4, 'data.image_size': 16,
          'network.width': 2, 'optimizer.warmup_steps': 1,
          'training.steps': 2, 'training.batch_size': 4,
          'training.eval_batch_size': 4, 'training.save_every_steps': 2,
          'training.evaluate_every_steps': 2}
  done = _run(f'--data_dir={tmp_path / "data"}',
              f'--model_dir={tmp_path / "model"}',
              *(f'--config.{key}={value}' for key, value in keys.items()))
  assert done.returncode == 0, done.stderr
  metrics = json.loads(
      (tmp_path / 'model/eval/metrics-2.json').read_text())
  assert metrics['examples'] == pictures.TEST
  assert {'config_hash', 'seed', 'commit', 'date'} <= set(metrics['run'])
  assert 'Step 2: top-1' in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize('config, arguments, words', [
    ('davidnet.py:sgd', [], "optimizer: got 'sgd', expected one of"),
    ('resnet50.py:many', [], "batch size: got 'many', expected a whole"),
    ('resnet50.py:4096', ['--use_tpu'], '--tpu_name: got none'),
    ('davidnet.py', ['--config.optimizer.power=-1'],
     'optimizer.power: got -1.0, expected a positive number'),
])
def test_mistakes_are_told_in_one_line(config, arguments, words, tmp_path):
  done = _run(f'--model_dir={tmp_path}', *arguments, config=config)
  assert done.returncode == 1
  assert done.stderr.startswith('error: ') and words in done.stderr
  assert done.stderr.count('\n') == 1
