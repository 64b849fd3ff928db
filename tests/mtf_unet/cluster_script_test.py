"""train.py on workers, as a user runs it."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from mtf_unet import checkpoints
from mtf_unet import config as config_lib
from mtf_unet import medical_dataset
from tests.mtf_unet import jobs
from tests.mtf_unet import scans
from tests.mtf_unet import user_environment
from tests.mtf_unet import workers

pytestmark = pytest.mark.slow

_TRAIN = user_environment.ROOT / 'scripts' / 'mtf_unet' / 'train.py'


@pytest.fixture(scope='module', name='work')
def _work(tmp_path_factory):
  """An experiment and prepared data."""
  folder = tmp_path_factory.mktemp('work')
  mapping = jobs.mapping(
      mesh={'spatial_split': (2, 1, 1)}, network={'levels': 1},
      training={'steps': 100000, 'save_every_steps': 5})
  (folder / 'config.py').write_text(
      'import ml_collections\n\ndef get_config():\n'
      f'  return ml_collections.ConfigDict({mapping!r})\n')
  scans.decathlon(folder / 'raw')
  medical_dataset.prepare(folder / 'raw', folder / 'data',
                          config_lib.from_mapping(mapping).data)
  return folder


def _start(work, *flags):
  return subprocess.Popen(
      [sys.executable, str(_TRAIN), f'--config={work}/config.py',
       f'--data_dir={work}/data', f'--model_dir={work}/model', *flags],
      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
      env=user_environment.variables(),
      # A shell that runs tests in the background may have Ctrl-C ignored.
      preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))


def _wait_for(process, folder, step):
  while process.poll() is None and checkpoints.step_of(
      checkpoints.latest(str(folder))) < step:
    time.sleep(0.05)


def _stopped(process):
  out, err = process.communicate(timeout=120)
  assert process.returncode == 1, err
  assert 'Traceback' not in err, err
  return out, err.splitlines()[-1]


@pytest.mark.skipif(
    'CI' in os.environ, reason='ends processes in mid-step, which depends on '
    'timing; run it by hand')
def test_a_job_stops_by_ctrl_c_or_with_its_worker_and_is_scored(work):
  with workers.running(2) as (cluster, processes):
    process = _start(work, f'--cluster={cluster}')
    _wait_for(process, work / 'model', 5)
    process.send_signal(signal.SIGINT)
    _, last = _stopped(process)
    assert last.startswith('error: stopped; the same command resumes from step')
    step = int(last.split()[-1])
    scored = _start(work, '--mode=eval', f'--cluster={cluster}')
    out, err = scored.communicate(timeout=300)
    assert scored.returncode == 0, err
    process = _start(work, f'--cluster={cluster}')
    _wait_for(process, work / 'model', step + 5)
    processes[1].kill()
    began, last = _stopped(process)
  assert began.startswith(f'Resuming from step {step} of 100000')
  name = cluster.split(',')[1]
  assert last == (
      f'error: --cluster: worker {name} (task 1) does not listen any more; '
      'start it again, then the same command resumes from the last checkpoint')
  path = out.splitlines()[-1].removeprefix('Written to ').removesuffix(
      ' and .csv')
  with open(path, encoding='utf-8') as file:
    assert json.load(file)['mean'] is not None


@pytest.mark.parametrize('flags, words', [
    (['--cluster=127.0.0.1:1', '--master=grpc://127.0.0.1:1'],
     '--cluster: got it beside --master'),
    (['--client=127.0.0.1:1'], '--client needs --cluster'),
], ids=['master', 'no cluster'])
def test_wrong_flags_are_told_in_one_line(work, flags, words):
  process = _start(work, *flags)
  _, err = process.communicate(timeout=120)
  assert process.returncode == 1
  assert err.startswith(f'error: {words}')
  assert err.count('\n') == 1
