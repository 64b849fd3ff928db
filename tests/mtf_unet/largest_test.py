"""The search for the largest cube, its record, its table and the script."""

import json
import os
import subprocess
import sys

import pytest

from mtf_unet import errors
from mtf_unet.benchmark import largest
from mtf_unet.benchmark import largest_table
from mtf_unet.benchmark import trials as trials_lib
from tests.mtf_unet import user_environment

_SCRIPT = user_environment.ROOT / 'scripts/mtf_unet/benchmark.py'
_MIB_PER_GB = 1e9 / 2 ** 20
_OURS, _KERAS, _TORCH = trials_lib.CONTENDERS


def _trial(size, peak_gb, limit_gb, idle_gb=0.5):
  report = {'seconds': [3.0, 1.0, 2.0], 'cpu_seconds': [2.0, 4.0, 3.0],
            'idle_mib': idle_gb * _MIB_PER_GB,
            'peak_mib': (peak_gb - idle_gb) * _MIB_PER_GB}
  if peak_gb > limit_gb:
    report = {'note': f'failed: more than {limit_gb} GB'}
  return trials_lib.Trial(size, min(peak_gb, limit_gb), 7.0, report)


def _sizes(memory_gb, grid, limit_gb):
  """The sizes that a search goes through where memory is a known function."""
  trials = []
  while (size := largest.next_size(trials, grid, limit_gb)) is not None:
    assert len(trials) < 20
    trials.append(_trial(size, memory_gb(size), limit_gb))
  return [trial.size for trial in trials]


def test_search_goes_straight_to_the_limit_where_memory_grows_with_voxels():
  memory = lambda n: 0.6 + 20.0 * (n / 320) ** 3
  assert _sizes(memory, 16, 22.0) == [64, 128, 320, 336]


def test_search_walks_where_the_line_misleads():
  # Steeper above 200 than the small trials let expect.
  memory = lambda n: 0.6 + 10.0 * (n / 192) ** (3 if n < 200 else 4)
  tried = _sizes(memory, 16, 22.0)
  fitting = [size for size in tried if memory(size) <= 22.0]
  assert max(fitting) == 224
  assert min(set(tried) - set(fitting)) == 240
  assert len(tried) <= 6


@pytest.mark.parametrize('limit_gb, expected', [
    (0.4, [64, 32, 16]), (0.75, [64, 32, 48]), (1.1, [64, 80]),
], ids=['nothing fits', 'less than the first', 'hardly more'])
def test_search_goes_down_where_the_first_size_is_too_large(limit_gb, expected):
  memory = lambda n: 0.5 + 0.5 * (n / 64) ** 3
  assert _sizes(memory, 16, limit_gb) == expected


def test_search_doubles_where_peaks_are_lost_in_the_noise():
  trials = [_trial(16, 0.6, 2.0), _trial(32, 0.59, 2.0)]
  assert largest.next_size(trials, 16, 2.0) == 64


def test_first_size_is_on_the_grid():
  assert largest.next_size([], 48, 2.0) == 48
  assert largest.next_size([], 128, 2.0) == 128


def _record(folder, **changes):
  settings = {'base': 2, 'grid': 16, 'limit_gb': 0.2} | changes
  return trials_lib.Record(folder / 'largest.json', settings, {'seed': 0})


def test_what_was_tried_is_there_again(tmp_path):
  record, trial = _record(tmp_path), _trial(64, 1.0, 2.0)
  record.add(_KERAS, trial)
  record.add(_KERAS, _trial(128, 3.0, 2.0))
  again = _record(tmp_path)
  assert again.trials(_KERAS)[0] == trial
  assert [t.size for t in again.trials(_KERAS)] == [64, 128]
  assert again.trials(_OURS) == []


def test_trials_of_other_settings_are_not_mixed(tmp_path):
  _record(tmp_path).add(_KERAS, _trial(64, 1.0, 2.0))
  with pytest.raises(errors.InputError, match=(
      'largest.json: base is 2 there, got 16; expected the same, or another '
      '--output')):
    _record(tmp_path, base=16)


@pytest.mark.parametrize('content', [
    '{', '[]', '{"settings": {}, "trials": {}}',
    json.dumps({'settings': {}, 'trials': {_OURS.name: [{'size': 1}]}}),
], ids=['cut off', 'a list', 'no trials', 'half a trial'])
def test_damaged_record_is_refused(tmp_path, content):
  (tmp_path / 'largest.json').write_text(content)
  with pytest.raises(errors.InputError, match='largest.json: damaged'):
    _record(tmp_path)


def _child(contender, size):
  """A process that holds size^3 KiB."""
  del contender
  return [sys.executable, '-c', (
      'import json\n'
      f'held = b"1" * ({size} ** 3 * 1024)\n'
      'print(json.dumps({"seconds": [1.0], "cpu_seconds": [1.0], '
      f'"idle_mib": 10.0, "peak_mib": {size} ** 3 / 1024}}))')]


def _search(record, command, lines):
  largest.search(record, command, grid=16, limit_gb=0.2, timeout_s=600.0,
                 say=lines.append)


@pytest.fixture(name='all_installed')
def _all_installed(monkeypatch):
  for contender in trials_lib.CONTENDERS:
    monkeypatch.setattr(type(contender.variant), 'installed', True)


def test_search_finds_the_largest_that_fits_and_resumes(tmp_path,
                                                        all_installed):
  del all_installed
  lines = []
  # 48^3 KiB are 113 MB; 64^3 KiB, 268 MB, are too many.
  _search(_record(tmp_path), _child, lines)
  assert [t.size for t in _record(tmp_path).trials(_TORCH)] == [64, 32, 48]
  assert [t.fits for t in _record(tmp_path).trials(_TORCH)] == [
      False, True, True]
  assert lines[0].startswith(f'{_OURS.name}: 64^3: 0.')
  assert lines[0].endswith('failed: more than 0.2 GB')
  assert len(lines) == 9 and lines[-1].endswith('fits')
  _search(_record(tmp_path), None, lines)
  assert len(lines) == 9


def test_stopped_search_goes_on_after_the_last_trial(tmp_path, all_installed):
  del all_installed
  def stopping(contender, size):
    if contender is _KERAS and size == 48:
      raise KeyboardInterrupt
    return _child(contender, size)
  lines = []
  with pytest.raises(KeyboardInterrupt):
    _search(_record(tmp_path), stopping, lines)
  assert len(lines) == 5
  _search(_record(tmp_path), _child, lines)
  assert len(lines) == 9


def test_peak_that_no_look_has_seen_counts():
  program = ('print(\'{"seconds": [1.0], "cpu_seconds": [1.0], '
             '"idle_mib": 100.0, "peak_mib": 200.0}\')')
  trial = largest.try_size([sys.executable, '-c', program], _KERAS, 16,
                           limit_gb=0.3, timeout_s=600.0)
  assert trial.report == {'note': 'failed: more than 0.3 GB'}
  assert trial.peak_gb == pytest.approx(300 * 2 ** 20 / 1e9)


def test_only_this_package_gets_the_systems_allocator():
  program = ('import json, os; print(json.dumps({"idle_mib": 1, "peak_mib": 1, '
             '"is_set": "TF_ONEDNN_USE_SYSTEM_ALLOCATOR" in os.environ}))')
  found = [largest.try_size([sys.executable, '-c', program], contender, 16,
                            limit_gb=9.0, timeout_s=600.0).report['is_set']
           for contender in trials_lib.CONTENDERS]
  outside = 'TF_ONEDNN_USE_SYSTEM_ALLOCATOR' in os.environ
  assert found == [True, outside, outside]


def test_table_tells_the_largest_that_fits_and_what_failed(tmp_path):
  record = _record(tmp_path)
  for size, peak_gb in ((64, 1.0), (128, 2.5), (96, 1.875)):
    record.add(_OURS, _trial(size, peak_gb, 2.0))
  record.add(_KERAS, _trial(16, 3.0, 2.0))
  text = largest_table.markdown(record)
  rows = [[cell.strip() for cell in line.split('|')[1:-1]]
          for line in text.splitlines()]
  assert rows[2] == [_OURS.name, '96^3', '1.88', '2.0', '3.0',
                     '128^3 failed: more than 2.0 GB (7 s)', '64, 128, 96']
  assert rows[3][1:6] == ['-', '-', '-', '-',
                          '16^3 failed: more than 2.0 GB (7 s)']
  assert rows[4][-1] == 'torch is not installed'


def _run(*flags):
  return subprocess.run([sys.executable, str(_SCRIPT), '--largest', *flags],
                        capture_output=True, text=True, check=False,
                        env=user_environment.variables())


@pytest.mark.parametrize('flags, words', [
    ([], '--largest: needs --output'),
    (['--output=o', '--grid=20'], '--grid: got 20, expected a multiple of 8'),
    (['--output=o', '--limit_gb=-1'], '--limit_gb: got -1, expected a pos'),
    (['--output=o', '--limit_gb=nan'], '--limit_gb: got nan, expected a pos'),
    (['--output=o', '--limit_gb=inf'], '--limit_gb: got inf, expected a pos'),
], ids=['output', 'grid', 'negative limit', 'no number', 'no limit'])
def test_mistakes_are_told_in_one_line(flags, words):
  done = _run(*flags)
  assert done.returncode == 1
  assert done.stderr.startswith(f'error: {words}')
  assert done.stderr.count('\n') == 1


@pytest.mark.slow
def test_script_finds_cubes_under_a_small_limit_and_resumes(tmp_path):
  flags = ['--base=2', '--steps=1', '--limit_gb=0.01', '--grid=32',
           f'--output={tmp_path}']
  done = _run(*flags)
  assert done.returncode == 0, done.stderr
  content = json.loads((tmp_path / 'largest.json').read_text())
  assert content['settings']['limit_gb'] == 0.01
  # No framework fits: 64^3, then 32^3, are killed while they load.
  assert [t['size'] for t in content['trials'][_OURS.name]] == [64, 32]
  table = (tmp_path / 'largest.md').read_text()
  assert table.strip() in done.stdout
  assert '32^3 failed: more than 0.01 GB' in table
  again = _run(*flags)
  assert again.returncode == 0 and again.stderr == ''


@pytest.mark.slow
def test_every_contender_does_the_step_of_its_command():
  for contender in trials_lib.CONTENDERS:
    if contender.variant.installed:
      trial = largest.try_size(
          [sys.executable, str(_SCRIPT), f'--variant={contender.variant.name}',
           f'--mode={contender.mode}', '--base=2', '--size=16', '--steps=1',
           *(f'--recompute={level}' for level in contender.recompute)],
          contender, 16, limit_gb=3.0, timeout_s=600.0)
      assert trial.fits, trial.report
      assert trial.report['version']
