"""The script that compares slabs with one pass, as a user runs it."""

import subprocess
import sys

import nibabel
import pytest

from tests.mtf_unet import user_environment

pytestmark = pytest.mark.slow


def _run(*flags):
  return subprocess.run(
      [sys.executable, 'scripts/mtf_unet/measure_slabs.py', *flags],
      cwd=user_environment.ROOT, env=user_environment.variables(),
      capture_output=True, text=True, check=False)


def test_both_methods_are_measured_and_compared(tmp_path):
  done = _run('--size=16', '--base=2', '--norm=instance', '--slabs=2',
              '--runs=1', f'--output={tmp_path}/kept')
  assert done.returncode == 0, done.stderr
  lines = done.stdout.splitlines()
  assert [line.split(' |')[0] for line in lines if line.startswith('|')] == [
      '| method', '|---|---|---|---|', '| whole', '| slabs']
  difference = float(lines[-1].split('differ by ')[1].split()[0])
  assert difference < 1e-5
  assert nibabel.load(tmp_path / 'kept' / 'scan.nii.gz').shape == (16,) * 3
  assert (tmp_path / 'kept' / 'config.py').exists()


def test_nothing_to_do_is_told_in_one_line():
  done = _run('--nocompare')
  assert done.returncode == 1
  assert done.stderr.splitlines()[-1].startswith('error: ')
  assert 'need --output' in done.stderr
