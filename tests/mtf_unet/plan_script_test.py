"""scripts/mtf_unet/plan.py and measure_plan.py, as a user runs them."""

import json

import pytest

from tests import script_server
from tests.mtf_unet import workers


def _run(script, *arguments):
  return script_server.run(f'scripts/mtf_unet/{script}', *arguments)


def _plan(*arguments, config='lits_512'):
  return _run('plan.py', f'--config=configs/mtf_unet/{config}.py', *arguments)


def test_paper_experiment_fits_16_gib():
  done = _plan('--device=v3')
  assert done.returncode == 0, done.stderr
  assert 'mesh rows:16;columns:16;cores:2' in done.stdout
  assert 'The step fits: 9.14 GiB of 16 GiB' in done.stdout
  assert '| decoder_0_1 | 16x32x32x512x32 | 27712 |' in done.stdout


def test_plan_that_does_not_fit_exits_with_2():
  done = _plan('--device=v2', '--nolayers')
  assert done.returncode == 2, done.stderr
  assert 'does NOT fit: 9.14 GiB of 8 GiB' in done.stdout
  assert 'encoder_0_0' not in done.stdout


def test_every_number_as_json():
  done = _plan('--json', config='hippocampus')
  content = json.loads(done.stdout)
  assert content['mesh_shape'] == 'x_blocks:2;y_blocks:2'
  assert content['device_bytes'] < content['process_bytes']
  assert content['layers'][0]['layer']['name'] == 'encoder_0_0'
  assert content['flop'] > 0


def test_numbers_are_written_with_the_run_that_made_them(tmp_path):
  path = tmp_path / 'plan.json'
  done = _plan('--json', f'--output={path}', config='hippocampus')
  content = json.loads(path.read_text())
  run = content.pop('run')
  assert content == json.loads(done.stdout)
  assert set(run) == {'config_hash', 'seed', 'commit', 'date', 'command',
                      'machine'}


def test_proposal_can_be_set_on_the_command_line():
  done = _plan('--device=0.4', '--fit', '--nolayers', config='hippocampus')
  assert done.returncode == 0, done.stderr
  first = done.stdout.splitlines()[0]
  proposal = first.removeprefix('Smallest mesh that fits: ')
  assert proposal != first
  keys = [f'--config.{key}' for key in proposal.replace(', mesh', '\nmesh')
          .splitlines()]
  again = _plan('--device=0.4', '--nolayers', *keys, config='hippocampus')
  assert again.returncode == 0, again.stderr
  assert again.stdout.splitlines() == done.stdout.splitlines()[2:]


@pytest.mark.parametrize('arguments, words', [
    (['--device=v9'], "device: got 'v9', expected v2, v3, v4"),
    (['--fit'], '--fit needs --device'),
    (['--fit', '--device=0.01'], 'too small for any mesh; the least is'),
    (['--fit', '--device=8', '--config.data.size=(100, 512, 512)'],
     '100 voxels along x do not divide'),
], ids=['device', 'fit alone', 'too small', 'no split divides'])
def test_mistakes_are_told_in_one_line(arguments, words):
  done = _plan(*arguments)
  assert done.returncode == 1
  assert done.stderr.startswith('error: ') and words in done.stderr
  assert done.stderr.count('\n') == 1


@pytest.mark.slow
def test_measured_table_has_a_line_for_each_size(tmp_path):
  output = tmp_path / 'measured.json'
  done = _run('measure_plan.py', '--sizes=16,24', '--base=4', '--steps=1',
              f'--output={output}')
  assert done.returncode == 0, done.stderr
  lines = done.stdout.splitlines()
  assert [line.split(' | ')[0] for line in lines[-2:]] == ['| 16^3', '| 24^3']
  ratios = [float(line.split('|')[-2]) for line in lines[-2:]]
  assert all(0.85 < ratio < 1.15 for ratio in ratios)
  content = json.loads(output.read_text())
  row = content['rows'][1]
  assert (row['size'], row['name']) == (24, 'mesh 1x1x1')
  assert row['planned_mib'] / row['measured_mib'] == pytest.approx(
      ratios[1], abs=0.01)
  assert content['run']['config_hash']


@pytest.mark.slow
@workers.BY_HAND_IN_CI
def test_a_worker_takes_what_is_planned_within_15_percent(tmp_path):
  output = tmp_path / 'measured.json'
  done = _run('measure_plan.py', '--sizes=48', '--processes=2', '--steps=1',
              f'--output={output}')
  assert done.returncode == 0, done.stderr
  row, = json.loads(output.read_text())['rows']
  assert row['name'] == '2 processes, 2x1x1'
  assert f'| 48^3 | {row["name"]} | ' in done.stdout
  assert row['planned_mib'] == pytest.approx(row['measured_mib'], rel=0.15)


@pytest.mark.parametrize('arguments, words', [
    (['--sizes=64,x'], 'expected whole numbers'),
    (['--sizes=20'], '20 voxels along x do not divide'),
    (['--sizes=16', '--variant=Keras'], 'expected a mesh'),
    (['--processes=2,b'], "--processes: got '2,b', expected whole numbers"),
    (['--processes=3'], '--processes: got 3, expected numbers out of 1, 2, 4'),
    (['--processes=2', '--recompute=0'],
     '--processes: got it beside --recompute, expected one of the two'),
    (['--sizes=24', '--processes=2'], 'nearest that works: 16 or 32'),
])
def test_measuring_tells_mistakes_in_one_line(arguments, words):
  done = _run('measure_plan.py', *arguments)
  assert done.returncode == 1
  assert words in done.stderr and done.stderr.count('\n') == 1
