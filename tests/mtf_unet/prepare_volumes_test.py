"""The script as a user runs it: exit status, one line, no traceback."""

import pytest

from mtf_unet import medical_dataset
from tests import script_server
from tests.mtf_unet import scans

pytestmark = pytest.mark.slow

_CONFIG = """
import ml_collections

def get_config():
  return ml_collections.ConfigDict({'data': {'size': (16, 16, 16)}})
"""


def _run(tmp_path, *flags):
  (tmp_path / 'config.py').write_text(_CONFIG)
  return script_server.run(
      'scripts/mtf_unet/prepare_volumes.py', f'--config={tmp_path}/config.py',
      f'--input={tmp_path}/raw', f'--data_dir={tmp_path}/data', *flags)


def test_a_good_folder_is_prepared_with_progress(tmp_path):
  scans.decathlon(tmp_path / 'raw')
  result = _run(tmp_path)
  assert result.returncode == 0, result.stderr
  assert '3 training and 1 validation cases' in result.stdout
  assert result.stderr.splitlines()[-1] == '4 of 4 cases'


def test_a_bad_file_is_told_in_one_line(tmp_path):
  raw = scans.decathlon(tmp_path / 'raw')
  (raw / 'labelsTr' / 'case_02.nii.gz').unlink()
  result = _run(tmp_path)
  assert result.returncode == 1
  lines = result.stderr.splitlines()
  assert len(lines) == 1
  assert lines[0].startswith('error: ')
  assert 'case_02' in lines[0]
  assert not medical_dataset.prepared_folder(tmp_path / 'data').exists()


def test_a_bad_value_in_the_middle_is_told_in_one_line(tmp_path):
  raw = scans.decathlon(tmp_path / 'raw')
  label = scans.pair(3)[1] + 7
  scans.write(raw / 'labelsTr' / 'case_03.nii.gz', label)
  result = _run(tmp_path)
  assert result.returncode == 1
  assert 'Traceback' not in result.stderr
  assert 'case_03.nii.gz: label 7' in result.stderr.splitlines()[-1]
