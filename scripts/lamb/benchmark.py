"""Times LAMB against other optimizers on BERT-base's 108.9 M parameters.

    python scripts/lamb/benchmark.py [--pythons=PYTHON,PYTHON,...]

Each optimizer is timed in a process of its own, in each environment. The
default is this Python and, where it is there, `.venv-keras3`'s.
"""

import json
import os
import pathlib
import subprocess
import sys

# Twice as fast on CPUs where TensorFlow leaves oneDNN off.
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

# What all scripts share; a folder of its own, as scripts/ itself would hide
# the packages of the same names.
sys.path.append(str(pathlib.Path(__file__).parents[1] / 'shared'))

from absl import flags
import command_line

_ROOT = pathlib.Path(__file__).parents[2]
_PYTHONS = flags.DEFINE_list(
    'pythons', None, 'Interpreters of the environments to compare.')
_OPTIMIZERS = flags.DEFINE_list(
    'optimizers', None, 'Names of the optimizers; all if not given.')
_CHILD = flags.DEFINE_string(
    'child', None, 'Used by the script itself: what a child process measures.')


def main() -> None:
  """Runs one child for each environment and optimizer, prints the table."""
  if _CHILD.value is not None:
    print(json.dumps(_measure(_CHILD.value)))
    return
  from lamb import step_benchmark
  results = {}
  for python in _PYTHONS.value or _default_pythons():
    known = _child(python, '')
    by_name = results.setdefault(known['environment'], {})
    for name in _OPTIMIZERS.value or known['optimizers']:
      if name in known['optimizers']:
        by_name[name] = _child(python, name)
        print(known['environment'], name, by_name[name], flush=True)
  print(step_benchmark.table(results))


def _measure(name):
  """Measures one optimizer, or tells what there is to measure."""
  from lamb import step_benchmark
  if name:
    return step_benchmark.measure(name)
  import keras
  import tensorflow as tf
  return {'environment': f'TensorFlow {tf.__version__}, '
                         f'Keras {keras.__version__}',
          'optimizers': list(step_benchmark.optimizers())}


def _child(python, name):
  """Runs this script in another process and returns its answer."""
  answer = subprocess.run(
      [python, __file__, f'--child={name}'], check=True, text=True, cwd=_ROOT,
      stdout=subprocess.PIPE, env={**os.environ, 'PYTHONPATH': str(_ROOT)})
  return json.loads(answer.stdout.splitlines()[-1])


def _default_pythons():
  """Returns this Python and that of the Keras 3 environment."""
  other = _ROOT / '.venv-keras3' / 'bin' / 'python'
  return [sys.executable] + ([str(other)] if other.exists() else [])


if __name__ == '__main__':
  command_line.run(main)
