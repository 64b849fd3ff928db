"""train.py on workers, as a user runs it."""

import functools
import json
import signal

import pytest

from mtf_unet import config as config_lib
from mtf_unet import medical_dataset
from tests import script_server
from tests.mtf_unet import jobs
from tests.mtf_unet import scans
from tests.mtf_unet import train_process
from tests.mtf_unet import workers

pytestmark = pytest.mark.slow


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


def _flags(work, model):
  return (f'--config={work}/config.py', f'--data_dir={work}/data',
          f'--model_dir={model}')


def _stopped(process):
  out, err = train_process.ended(process)
  assert process.returncode == 1, err
  assert 'Traceback' not in err, err
  return out, err.splitlines()[-1]


@workers.BY_HAND_IN_CI
def test_a_job_stops_by_ctrl_c_or_with_its_worker_and_is_scored(work, tmp_path):
  running = functools.partial(train_process.running, *_flags(work, tmp_path))
  with workers.running(2) as (cluster, processes):
    with running(f'--cluster={cluster}') as process:
      train_process.wait_for_step(process, tmp_path, 5)
      process.send_signal(signal.SIGINT)
      _, last = _stopped(process)
    assert last.startswith('error: stopped; the same command resumes from step')
    step = int(last.split()[-1])
    with running('--mode=eval', f'--cluster={cluster}') as process:
      out, err = train_process.ended(process)
    assert process.returncode == 0, err
    with running(f'--cluster={cluster}') as process:
      train_process.wait_for_step(process, tmp_path, step + 5)
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
def test_wrong_flags_are_told_in_one_line(work, tmp_path, flags, words):
  done = script_server.run('scripts/mtf_unet/train.py', *_flags(work, tmp_path),
                           *flags)
  assert done.returncode == 1
  assert done.stderr.startswith(f'error: {words}')
  assert done.stderr.count('\n') == 1
