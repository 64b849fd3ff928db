"""The script as a user runs it: exit status, one line, no traceback."""

import json
import pathlib
import signal
import types

import nibabel
import numpy as np
from PIL import Image
import pytest

from mtf_unet import config as config_lib
from mtf_unet import dicom_series
from mtf_unet import medical_dataset
from tests import script_server
from tests.mtf_unet import dicom
from tests.mtf_unet import jobs
from tests.mtf_unet import scans
from tests.mtf_unet import train_process

pytestmark = pytest.mark.slow

_STEPS = 60


@pytest.fixture(scope='module')
def work(tmp_path_factory):
  """A folder with two experiments, raw scans and prepared data."""
  folder = tmp_path_factory.mktemp('work')
  mapping = jobs.mapping(mesh={'spatial_split': (2, 1, 1)},
                         training={'steps': 4, 'evaluate_every_steps': 2})
  for name, content in (('good', mapping), ('bad', {'data': {'sise': 3}}),
                        ('odd', {'data': {'size': 'large'}})):
    (folder / f'{name}.py').write_text(
        'import ml_collections\n\ndef get_config():\n'
        f'  return ml_collections.ConfigDict({content!r})\n')
  (folder / 'broken.py').write_text('def get_config(:\n')
  scans.decathlon(folder / 'raw')
  medical_dataset.prepare(folder / 'raw', folder / 'data',
                          config_lib.from_mapping(mapping).data)
  (folder / 'empty').mkdir()
  return folder


@pytest.fixture(scope='module')
def train(work):
  """Runs the script with flags."""
  def run(*flags, config='good.py', model='model'):
    arguments = [f'--config={work}/{config}', f'--data_dir={work}/data',
                 f'--model_dir={work}/{model}', *flags]
    done = script_server.run('scripts/mtf_unet/train.py',
                             *filter(None, arguments))
    return types.SimpleNamespace(
        status=done.returncode, out=done.stdout, err=done.stderr)
  return run


@pytest.fixture(scope='module')
def trained(train):
  return train('--mode=train_and_eval')


def test_training_speaks_only_to_the_user(trained, work):
  assert trained.status == 0, trained.err
  assert [line.split(':')[0] for line in trained.out.splitlines()] == [
      'Step 2', 'Step 4']
  assert all(line.startswith('step ') for line in trained.err.splitlines())
  assert trained.err.splitlines()[-1].startswith('step 4/4  loss ')
  assert (work / 'model' / 'best' / 'metrics.json').exists()


def test_eval_prints_the_table_and_writes_json(trained, train, work):
  result = train('--mode=eval', '--config.mesh.spatial_split=(1,2,1)')
  assert result.status == 0, result.err
  best = json.loads((work / 'model/best/metrics.json').read_text())
  lines = result.out.splitlines()
  assert lines[0] == (f'Evaluating {work}/model/best/model.ckpt-'
                      f'{best["step"]}')
  assert lines[1].split() == ['Dice', 'class', '1', 'class', '2']
  assert any(line.startswith('mean of classes') for line in lines)
  assert any(line.startswith('HD95 mm') for line in lines)
  base = lines[-1].removeprefix('Written to ').removesuffix('.json and .csv')
  assert json.loads(pathlib.Path(f'{base}.json').read_text())[
      'mean'] == pytest.approx(best['score'], abs=1e-5)
  rows = pathlib.Path(f'{base}.csv').read_text().splitlines()
  assert rows[0].startswith('case,label,found,dice,hd95_mm,assd_mm,volume_ml')
  assert len(rows) == 1 + 1 * 2
  assert result.err == '1 of 1 cases\n'


def test_an_ensemble_is_evaluated_apart_with_a_report(trained, train, work):
  result = train('--mode=eval', f'--ensemble={work}/model', '--report')
  assert result.status == 0, result.err
  folder = work / 'model' / 'eval_ensemble_of_2'
  assert sorted(path.suffix for path in folder.glob('[mr]*')) == [
      '.csv', '.html', '.json']
  page = next(folder.glob('report-*.html')).read_text(encoding='utf-8')
  assert page.count('<figure>') == 1
  alone = json.loads(next((work / 'model/eval').glob('*.json')).read_text())
  assert f'Report in {folder}/report-' in result.out
  assert {'mean', 'classes', 'cases'} <= set(alone)


@pytest.fixture(scope='module')
def exported(trained, train, work):
  return train('--mode=export', f'--output={work}/saved')


def test_a_saved_model_predicts_what_the_network_does(exported, predicted,
                                                      train, work):
  assert exported.status == 0, exported.err
  assert exported.out.startswith(f'SavedModel of {work}/model/best/')
  result = train('--mode=predict', f'--saved_model={work}/saved',
                 '--model_dir=', f'--input={work}/scans/odd.nii.gz',
                 f'--output={work}/by_saved', '--probabilities')
  assert result.status == 0, result.err
  came, expected = (nibabel.load(
      work / folder / 'odd_probabilities.nii.gz').get_fdata()
                    for folder in ('by_saved', 'out'))
  np.testing.assert_allclose(came, expected, atol=1e-4)


def test_a_folder_of_dicom_slices_is_one_scan(trained, train, work):
  array = np.random.default_rng(0).integers(-900, 900, (9, 8, 5))
  folder = dicom.write_series(work / 'ct_series', array)
  result = train('--mode=predict', f'--input={folder}',
                 f'--output={work}/from_dicom')
  assert result.status == 0, result.err
  label = nibabel.load(work / 'from_dicom' / 'ct_series.nii.gz')
  np.testing.assert_allclose(label.affine, dicom_series.read(folder).affine,
                             atol=1e-4)
  assert label.shape == array.shape


def test_the_script_joins_in_lamb(train, work):
  result = train('--config.optimizer.name=lamb', '--config.training.steps=1',
                 '--config.network.levels=1', model='lamb')
  assert result.status == 0, result.err
  start, end = (jobs.weights(work / f'lamb/model.ckpt-{step}')['head/kernel']
                for step in (0, 1))
  assert not np.array_equal(start, end)


@pytest.fixture(scope='module')
def predicted(trained, train, work):
  """An odd, turned, anisotropic scan, and one larger than data.size."""
  matrices = {'odd': scans.affine((2, 0, 1), (-1, 1, -1), (1.0, 4.0, 2.5)),
              'large': scans.affine()}
  for name, shape in (('odd', (7, 11, 9)), ('large', (9, 21, 10))):
    array = np.random.default_rng(0).random(shape, np.float32)
    scans.write(work / 'scans' / f'{name}.nii.gz', array, matrices[name])
  (work / 'scans' / 'notes.txt').write_text('no scan')
  return train('--mode=predict', f'--input={work}/scans',
               f'--output={work}/out', '--probabilities')


@pytest.mark.parametrize('name', ['odd', 'large'])
def test_predictions_lie_on_the_scan_s_own_grid(predicted, work, name):
  assert predicted.status == 0, predicted.err
  assert predicted.out == f'2 label maps and overlays in {work}/out\n'
  scan, label, probabilities = (nibabel.load(path) for path in (
      work / f'scans/{name}.nii.gz', work / f'out/{name}.nii.gz',
      work / f'out/{name}_probabilities.nii.gz'))
  assert label.shape == scan.shape
  assert probabilities.shape == scan.shape + (3,)
  np.testing.assert_allclose(label.affine, scan.affine)
  assert nibabel.aff2axcodes(label.affine) == nibabel.aff2axcodes(scan.affine)
  values = probabilities.get_fdata()
  np.testing.assert_allclose(values.sum(-1), 1.0, atol=1e-5)
  np.testing.assert_array_equal(label.get_fdata(), values.argmax(-1))
  with Image.open(work / f'out/{name}.png') as picture:
    picture.load()


def test_one_file_is_predicted_stretched(trained, predicted, train, work):
  result = train('--mode=predict', f'--input={work}/scans/odd.nii.gz',
                 f'--output={work}/stretched', '--config.data.fit=resize')
  assert result.status == 0, result.err
  assert nibabel.load(work / 'stretched/odd.nii.gz').shape == (7, 11, 9)


def test_slabs_predict_what_one_pass_does(predicted, train, work):
  result = train('--mode=predict', '--config.prediction.method=slabs',
                 '--config.prediction.slabs=5', f'--input={work}/scans',
                 f'--output={work}/by_slabs')
  assert result.status == 0, result.err
  for name in ('odd', 'large'):
    came, expected = (nibabel.load(work / folder / f'{name}.nii.gz').get_fdata()
                      for folder in ('by_slabs', 'out'))
    np.testing.assert_array_equal(came, expected)


def _one_line(result, *words):
  assert result.status == 1, result.out
  assert result.err.startswith('error: ')
  assert result.err.count('\n') == 1
  for word in words:
    assert word in result.err


def test_a_dry_run_describes_the_job_of_a_tpu_and_leaves_nothing(train, work):
  result = train('--use_tpu', '--dry_run', '--tpu_cores=2', '--data_dir=',
                 model='dry')
  assert result.status == 0, result.err
  lines = result.out.splitlines()
  assert lines[0] == 'TPU: 2 cores on 1 host(s), topology 1x1x1x2 (made up)'
  assert lines[-1].startswith('Collectives of a step, all: ')
  assert not (work / 'dry').exists()


def test_volumes_are_cut_for_a_tpu_of_many_hosts(train, work, tmp_path):
  done = script_server.run(
      'scripts/mtf_unet/cut_volumes.py', f'--config={work}/good.py',
      '--config.data.augmentation.noise_fine=0.0', f'--data_dir={work}/data',
      f'--output={tmp_path}/blocks')
  assert done.returncode == 0, done.stderr
  assert done.stdout.endswith('cases in 2x1x1 blocks\n')
  assert len(list((tmp_path / 'blocks' / '000000').iterdir())) == 2
  result = train('--use_tpu', '--dry_run', '--tpu_cores=2', '--data_dir=',
                 '--config.data.augmentation.noise_fine=0.0',
                 f'--block_dir={tmp_path}/blocks', model='dry')
  assert result.status == 0, result.err
  _one_line(train('--use_tpu', '--dry_run', '--tpu_cores=2', '--data_dir=',
                  f'--block_dir={tmp_path}/blocks', model='dry'),
            'noise_fine: got 0.1, expected 0')


def test_the_collectives_are_told_and_written(work, tmp_path):
  done = script_server.run(
      'scripts/mtf_unet/inspect_tpu_program.py', f'--config={work}/good.py',
      f'--json={tmp_path}/all.json')
  assert done.returncode == 0, done.stderr
  assert '| layer | pass | kind | groups |' in done.stdout
  content = json.loads((tmp_path / 'all.json').read_text())
  assert content['totals']['all']['count'] == len(content['collectives'])


@pytest.mark.parametrize('flags, words', [
    (['--config.data.sise=3'], 'data.sise is unknown; nearest: data.size'),
    (['--config.dota.size=3'], 'dota'),
    (['--config.training.steps=many'], '--config.training.steps=many'),
    (['--config.training.seed=many'], 'training.seed: got'),
    (['--config.training.steps=0'], 'training.steps: got 0, expected 1'),
    (['--nodata_dir=3'], 'nodata_dir'),
    (['--mode=trian'], 'trian'),
    (['evaluate'], 'evaluate: unexpected argument'),
    (['--data_dir='], '--mode=train needs --data_dir'),
    (['--mode=predict'], '--mode=predict needs --input'),
    (['--mode=export'], '--mode=export needs --output'),
    (['--mode=predict', '--saved_model=some', '--input=in', '--output=out',
      '--config.prediction.method=slabs'], "expected 'whole' beside"),
    (['--mode=predict', '--saved_model=some', '--input=in', '--output=out',
      '--config.prediction.method=sliding_window'],
     "got 'sliding_window', expected 'whole' beside"),
    (['--saved_model=some'], '--saved_model: expected with --mode=predict'),
    (['--probabilities'], '--probabilities: expected with --mode=predict'),
    (['--mode=train_and_eval', '--report'], '--report: expected with --mode='),
    (['--mode=eval', '--model_dir=gs://bucket/model'], 'is in a bucket'),
    (['--config.prediction.slabs=4'], 'prediction.slabs: got 4, expected 0'),
    (['--model_dir='], '--mode=train needs --model_dir'),
    (['--ensemble=other'], '--ensemble: expected with --mode=eval'),
    (['--use_tpu'], '--use_tpu: this machine has no TPU'),
    (['--use_tpu', '--tpu_name=it', '--master=grpc://h:1'],
     'expected one of the two'),
    (['--use_tpu', '--dry_run'], '--tpu_cores: expected it with --dry_run'),
    (['--use_tpu', '--tpu_cores=2'], '--tpu_cores: expected it with'),
    (['--use_tpu', '--dry_run', '--tpu_cores=8'],
     '2 blocks on 2 devices, expected one block for each of the 8 cores'),
    (['--tpu_name=it'], '--tpu_name needs --use_tpu'),
    (['--master=grpc://127.0.0.1:1', '--mode=train_and_eval'],
     'cannot read the cases of --mode=train_and_eval; expected it with eval'),
    (['--config.data.size=(18,16,8)'], 'nearest that works: 16 or 20'),
    (['--config.mesh.devices=3'], 'nearest that works: 2'),
    (['--config.mesh.spatial_split=(1,1,1)', '--config.mesh.mesh_shape=r:2',
      '--config.mesh.layout=depth:r'], "'depth' is no dimension of the data"),
    (['--data_dir=/nowhere'], 'prepare_volumes.py'),
], ids=lambda value: ' '.join(value)[:40] if isinstance(value, list) else '')
def test_wrong_flags_and_keys_are_told_in_one_line(train, flags, words):
  _one_line(train(*flags, model='new'), words)


@pytest.mark.parametrize('config, words', [
    ('bad.py', 'data.sise is unknown; nearest: data.size'),
    ('odd.py', "data.size: got"), ('missing.py', 'no such file'),
    ('broken.py', '--config'),
])
def test_a_wrong_config_file_is_told_in_one_line(train, config, words):
  _one_line(train(config=config, model='new'), words)


def test_another_network_is_told_in_one_line(trained, train):
  _one_line(train('--config.network.base_filters=3'),
            'network.base_filters is 2 there and 3 here')


@pytest.mark.parametrize('mode', ['eval', 'predict'])
def test_an_empty_model_folder_is_told_in_one_line(train, work, mode):
  _one_line(train(f'--mode={mode}', f'--input={work}/raw/imagesTr',
                  f'--output={work}/out', model='empty'),
            'no checkpoint found')


def _predict(train, work, source, output='fresh'):
  return train('--mode=predict', f'--input={work}/{source}',
               f'--output={work}/{output}')


def test_scans_that_cannot_be_read_are_told_in_one_line(trained, train, work):
  _one_line(_predict(train, work, 'empty'), 'empty holds no scan')
  _one_line(_predict(train, work, 'nowhere'), 'nowhere does not exist')
  path = scans.write(work / 'cut' / 'a.nii.gz', scans.pair(0)[0])
  scans.truncate(path)
  _one_line(_predict(train, work, 'cut'), str(path))
  assert not list((work / 'fresh').iterdir())


def test_results_never_overwrite_a_scan_or_each_other(trained, train, work):
  for name in ('a.nii', 'a.nii.gz'):
    scans.write(work / 'twice' / name, scans.pair(0)[0])
  _one_line(_predict(train, work, 'twice'), 'a.nii.gz', 'would overwrite')
  scans.write(work / 'once' / 'a.nii.gz', scans.pair(0)[0])
  before = (work / 'once' / 'a.nii.gz').read_bytes()
  _one_line(_predict(train, work, 'once', 'once'), 'would overwrite')
  assert (work / 'once' / 'a.nii.gz').read_bytes() == before
  _one_line(_predict(train, work, 'once', 'good.py'), 'cannot be made')


def test_stopped_by_ctrl_c_and_by_kill_it_ends_where_it_would_have(train,
                                                                   work):
  flags = [f'--config.training.steps={_STEPS}',
           '--config.training.save_every_steps=5']
  assert train(*flags, model='straight').status == 0
  folder = work / 'stopped'
  started = [f'--config={work}/good.py', f'--data_dir={work}/data',
             f'--model_dir={folder}', *flags]
  with train_process.running(*started) as process:
    train_process.wait_for_step(process, folder, 5)
    process.send_signal(signal.SIGINT)
    _, err = train_process.ended(process)
  assert process.returncode == 1
  assert 'Traceback' not in err
  last = err.splitlines()[-1]
  assert last.startswith('error: stopped; the same command resumes from step')
  step = int(last.split()[-1])
  with train_process.running(*started) as process:
    train_process.wait_for_step(process, folder, step + 5)
    process.kill()
    out, _ = train_process.ended(process)
  assert process.returncode == -signal.SIGKILL
  assert out.startswith(f'Resuming from step {step} of {_STEPS}')
  result = train(*flags, model='stopped')
  assert result.out.startswith('Resuming from step '), result.err
  expected = jobs.weights(work / f'straight/model.ckpt-{_STEPS}')
  ended = jobs.weights(folder / f'model.ckpt-{_STEPS}')
  for name, value in expected.items():
    np.testing.assert_allclose(ended[name], value, atol=1e-6, err_msg=name)
