"""Compares LAMB, Adam and momentum on scikit-learn's digits, full batch.

    python scripts/lamb/demo_digits.py --output_dir=FOLDER

Takes half a minute; writes `lamb_digits.png`, test accuracy by step, and
`lamb_digits.json`.
"""

import json
import os
import pathlib
import sys

os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

# What all scripts share; a folder of its own, as scripts/ itself would hide
# the packages of the same names.
sys.path.append(str(pathlib.Path(__file__).parents[1] / 'shared'))

from absl import flags
import command_line
import matplotlib
import numpy as np
from sklearn import datasets

from lamb.full_batch import idx_files
from lamb.full_batch import lenet
from lamb.full_batch import optimizers
from lamb.full_batch import training

matplotlib.use('Agg')
from matplotlib import pyplot

_OUTPUT_DIR = flags.DEFINE_string(
    'output_dir', 'results/lamb_digits', 'Folder for picture and numbers.')

_STEPS = 35
_WARMUP = 7
_TEST_SHARE = 5  # one digit in so many
# The authors' rates for MNIST with the full batch; Adam's is ours.
_RATES = {'lamb': 0.11, 'adam': 0.003, 'momentum': 0.11}
_DECAY = {'lamb': 0.01, 'adam': 0.0, 'momentum': 0.0}


def run(output_dir: str) -> dict[str, float]:
  """Trains LeNet with each optimizer and draws the comparison.

  Args:
    output_dir: Folder for `lamb_digits.png` and `lamb_digits.json`.

  Returns:
    Test accuracy after the last step, by optimizer.
  """
  output = pathlib.Path(output_dir)
  output.mkdir(parents=True, exist_ok=True)
  train_digits, test_digits = _load()
  curves = {}
  for name, rate in _RATES.items():
    optimizer = optimizers.make(
        name, rate, _WARMUP, _STEPS, power=1.0, weight_decay=_DECAY[name],
        clip_norm=1.0)
    trainer = training.FullBatchTrainer(
        lenet.LeNet(size=8), optimizer, training.FullBatchJob(
            _STEPS, slice_size=len(train_digits.labels)))
    curves[name] = []
    for step in range(1, _STEPS + 1):
      trainer.step(train_digits, step)
      curves[name].append(trainer.accuracy(test_digits))
  _draw(curves, output / 'lamb_digits.png')
  final = {name: curve[-1] for name, curve in curves.items()}
  (output / 'lamb_digits.json').write_text(
      json.dumps({'accuracy': final, 'curves': curves}, indent=2) + '\n',
      encoding='utf-8')
  return final


def _load():
  """Returns scikit-learn's 1797 digits, 8 x 8, as training and test part."""
  digits = datasets.load_digits()
  images = np.round(digits.images * (255 / 16)).astype(np.uint8)
  labels = digits.target.astype(np.uint8)
  is_test = np.arange(len(labels)) % _TEST_SHARE == 0
  return (idx_files.Digits(images[~is_test], labels[~is_test]),
          idx_files.Digits(images[is_test], labels[is_test]))


def _draw(curves, path):
  """Draws test accuracy by step."""
  figure, axes = pyplot.subplots(figsize=(6, 4))
  for name, curve in curves.items():
    axes.plot(range(1, len(curve) + 1), curve,
              label=f'{name}, {curve[-1]:.3f} at the end')
  axes.set(xlabel='step, each on all 1437 digits', ylabel='test accuracy',
           title='LeNet on scikit-learn digits, full batch', ylim=(0, 1))
  axes.legend(loc='lower right')
  figure.savefig(path, dpi=120, bbox_inches='tight')
  pyplot.close(figure)


def main() -> None:
  """Runs the comparison and prints the accuracies."""
  for name, accuracy in run(_OUTPUT_DIR.value).items():
    print(f'{name:9} test accuracy {accuracy:.4f} after {_STEPS} steps')


if __name__ == '__main__':
  command_line.run(main)
