import glob
import json
import resource
import shutil

import numpy as np
import pytest
import tensorflow as tf

from mtf_unet import checkpoints
from mtf_unet import errors
from mtf_unet import inference
from mtf_unet import layout
from mtf_unet import mesh as mesh_lib
from mtf_unet import model
from mtf_unet import training
from mtf_unet import validation_listener
from tests.mtf_unet import jobs

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  """Six steps in one go, scored at 3 and at the end; counts graphs."""
  folder = tmp_path_factory.mktemp('whole')
  built = []
  with pytest.MonkeyPatch.context() as patch:
    for name in ('training_graph', 'prediction_graph'):
      original = getattr(model, name)
      patch.setattr(
          model, name, lambda *args, original=original, name=name, **keywords: (
              built.append(name), original(*args, **keywords))[1])
    lines = jobs.train(folder, jobs.config(),
                       jobs.cases(3, jobs.config(), seed=1))
  return folder, lines, built


@pytest.fixture
def copy(whole, tmp_path):
  shutil.copytree(whole[0], tmp_path / 'copy')
  return tmp_path / 'copy'


# Cheaper to build, where only the way that a training ends matters.
_SHALLOW = {'mesh': {'spatial_split': (1, 1, 1)}, 'network': {'levels': 1}}


class _Stop(Exception):
  pass


def _train_until(folder, config, step, stop):
  """Trains until a checkpoint at or beyond `step`, where `stop` is called."""
  class Listener(tf.estimator.CheckpointSaverListener):
    def after_save(self, session, global_step_value):
      if global_step_value >= step:
        stop()
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(validation_listener, 'ValidationListener',
                  lambda *_: Listener())
    jobs.train(folder, config, validation=[])


def _interrupt():
  raise _Stop


def _losses(folder):
  return {step: tf.make_ndarray(value.tensor).item()
          if value.HasField('tensor') else value.simple_value
          for step, tag, value in jobs.events(folder) if tag == 'loss'}


def test_a_stopped_training_continues_the_same_curve(whole, tmp_path):
  with pytest.raises(_Stop):
    _train_until(tmp_path, jobs.config(), 4, _interrupt)
  lines = jobs.train(tmp_path, jobs.config())
  assert lines == [f'Resuming from step 4 of 6 ({tmp_path})']
  expected = jobs.weights(whole[0] / 'model.ckpt-6')
  resumed = jobs.weights(tmp_path / 'model.ckpt-6')
  assert resumed.keys() == expected.keys()
  for name, value in expected.items():
    np.testing.assert_allclose(resumed[name], value, atol=1e-6, err_msg=name)
  assert set(_losses(tmp_path)) == {1, 2, 3, 4, 5, 6}
  assert _losses(tmp_path) == pytest.approx(_losses(whole[0]), rel=1e-5)


def test_graphs_are_built_once_over_several_saves_and_scores(whole):
  folder, _, built = whole
  assert sorted(built) == ['prediction_graph', 'training_graph']
  saved = [path.rpartition('-')[2]
           for path in checkpoints.complete(str(folder))]
  assert saved == ['0', '2', '4', '6']


def test_scoring_on_the_same_server_leaves_the_weights_alone(whole, tmp_path):
  config = jobs.config()
  server = tf.distribute.Server.create_local_server(
      config=mesh_lib.session_config(layout.partition(config.mesh)))
  lines = []
  training.train(
      training.Job(config, str(tmp_path), master=server.target,
                   report=lines.append),
      jobs.cases(3, config), jobs.cases(3, config, seed=1))
  assert [line.split(':')[0] for line in lines] == ['Step 4', 'Step 6']
  expected = jobs.weights(whole[0] / 'model.ckpt-6')
  for name, value in jobs.weights(tmp_path / 'model.ckpt-6').items():
    np.testing.assert_allclose(value, expected[name], atol=1e-6, err_msg=name)


def test_step_0_is_not_scored_and_the_end_is(whole):
  folder, lines, _ = whole
  assert [line.split(':')[0] for line in lines] == ['Step 4', 'Step 6']
  assert {path.name for path in (folder / 'eval').glob('*.json')} == {
      'metrics-4.json', 'metrics-6.json'}


def test_every_case_is_scored_once_though_the_batch_does_not_divide(whole):
  summary = json.loads((whole[0] / 'eval' / 'metrics-6.json').read_text())
  assert [case['name'] for case in summary['cases']] == [
      'case_0', 'case_1', 'case_2']


def test_the_best_checkpoint_is_kept_beside_the_newest(whole):
  folder = whole[0]
  scores = {step: json.loads(
      (folder / 'eval' / f'metrics-{step}.json').read_text())['mean']
            for step in (4, 6)}
  best = max(scores, key=scores.get)
  path = checkpoints.for_prediction(str(folder))
  assert path == str(folder / 'best' / f'model.ckpt-{best}')
  kept = json.loads((folder / 'best' / 'metrics.json').read_text())
  assert kept == {'score': scores[best], 'step': best}


def test_event_files_hold_scalars_and_the_picture(whole):
  folder = whole[0]
  values = {tag: value for _, tag, value in jobs.events(folder)}
  assert {'loss', 'cross_entropy', 'dice_loss', 'learning_rate',
          'soft_dice/class_2'} <= set(values)
  picture = values['image_truth_prediction/image/0'].image
  # Three axial slices of 16 x 16 beside each other.
  assert (picture.height, picture.width) == (16, 48)
  scored = {(step, tag) for step, tag, _ in jobs.events(folder / 'eval')}
  assert {(4, 'dice/mean'), (6, 'dice/mean')} <= scored


def test_no_tpu_is_initialised_without_use_tpu(whole):
  kinds = set()
  for path in glob.glob(f'{whole[0]}/events.out.*'):
    for event in tf.compat.v1.train.summary_iterator(path):
      graph = tf.compat.v1.GraphDef.FromString(event.graph_def)
      kinds |= {node.op for node in graph.node}
  assert 'Conv3D' in kinds
  assert not [kind for kind in kinds if 'TPU' in kind]


def test_a_finished_training_is_left_alone(copy):
  assert jobs.train(copy, jobs.config()) == [
      f'{copy}: already at step 6 of 6, nothing to train']


def test_a_score_that_a_stop_prevented_is_made_up_for(copy):
  (copy / 'eval' / 'metrics-6.json').unlink()
  lines = jobs.train(copy, jobs.config(), jobs.cases(1, jobs.config()))
  assert [line[:7] for line in lines[1:]] == ['Step 6:']


def test_checkpoints_do_not_depend_on_the_mesh(whole):
  config = jobs.config()
  image = jobs.cases(1, config, seed=7)[0].image
  results = []
  for split in ((2, 2, 1), (1, 1, 1), (4, 2, 1)):
    predictor = inference.Predictor(
        config, layout.partition(jobs.config(
            mesh={'spatial_split': split}).mesh), config.data.size)
    predictor.restore(str(whole[0] / 'model.ckpt-6'))
    results.append(predictor.probabilities(image))
    predictor.close()
  for result in results[1:]:
    np.testing.assert_allclose(result, results[0], atol=1e-5)
  np.testing.assert_allclose(results[0].sum(-1), 1.0, atol=1e-5)


def test_warm_start_leaves_another_head_at_its_start(whole, tmp_path):
  config = jobs.config(
      data={'num_classes': 5},
      loss={'dice_classes': (1, 2, 3, 4), 'class_weights': ()},
      training={'warm_start': str(whole[0]), 'steps': 1})
  lines = jobs.train(tmp_path, config)
  assert lines[0].endswith('; new: head/kernel, head/bias')
  source = jobs.weights(whole[0] / 'model.ckpt-6')
  start = jobs.weights(tmp_path / 'model.ckpt-0')
  assert start['global_step'] == 0
  name = 'encoder_1_0/kernel'
  np.testing.assert_array_equal(start[name], source[f'ema/{name}'])
  assert not np.array_equal(source[name], source[f'ema/{name}'])
  assert not start[f'{name}/adam_m'].any()


@pytest.mark.parametrize('changes', [
    {'data': {'size': (16, 24, 8), 'num_classes': 2, 'channels': 2},
     'mesh': {'spatial_split': (1, 2, 1), 'batch_split': 2, 'devices': 2},
     'optimizer': {'name': 'adafactor', 'schedule': 'staircase'},
     'loss': {'dice_classes': (1,), 'class_weights': (1.0, 8.0)}},
    {'data': {'size': (16, 8, 5), 'num_classes': 5, 'neighbor_slices': 1},
     'mesh': {'spatial_split': (2, 1, 1)},
     'network': {'dimensions': 2, 'normalization': 'instance'},
     'optimizer': {'schedule': 'polynomial'},
     'loss': {'dice_classes': (1, 4), 'class_weights': ()}},
], ids=['2 classes, 2 channels, batch split, 4 blocks on 2 devices',
        '2-D with neighbours, 5 classes'])
def test_other_shapes_train_and_are_scored(tmp_path, changes):
  config = jobs.config(
      **changes, training={'steps': 2, 'ema_decay': 0.0})
  lines = jobs.train(tmp_path, config, jobs.cases(1, config))
  assert lines[-1].startswith('Step 2: mean validation Dice')
  weights = jobs.weights(tmp_path / 'model.ckpt-2')
  assert weights['head/bias'].shape == (config.data.num_classes,)
  assert not np.array_equal(
      weights['head/kernel'],
      jobs.weights(tmp_path / 'model.ckpt-0')['head/kernel'])


def test_a_full_disk_is_told_and_the_older_checkpoint_stays(tmp_path):
  soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
  try:
    with pytest.raises(errors.InputError, match='could not be written') as told:
      _train_until(
          tmp_path, jobs.config(**_SHALLOW), 2, lambda: resource.setrlimit(
              resource.RLIMIT_FSIZE, (1000, hard)))
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
  assert f'resumes from {tmp_path}/model.ckpt-2' in str(told.value)
  assert '\n' not in str(told.value)
  assert not list(tmp_path.glob('*temp*'))
  weights = jobs.weights(checkpoints.latest(str(tmp_path)))
  assert weights['global_step'] == 2


class _DamagedCases(list):
  def __getitem__(self, index):
    raise errors.InputError('case_1: damaged, expected a whole file')


def test_a_damaged_case_is_told_in_its_own_words(tmp_path):
  job = training.Job(jobs.config(**_SHALLOW), str(tmp_path),
                     report=lambda line: None)
  with pytest.raises(errors.InputError, match='^case_1: damaged, expected a '
                     'whole file$'):
    training.train(job, _DamagedCases([1, 2]))


def test_a_loss_that_is_nan_names_what_to_change(tmp_path):
  config = jobs.config(**_SHALLOW)
  cases = jobs.cases(2, config)
  for case in cases:
    case.image[:] = np.nan
  job = training.Job(config, str(tmp_path), report=lambda line: None)
  with pytest.raises(errors.InputError, match='optimizer.learning_rate'):
    training.train(job, cases)


def test_another_network_is_refused_naming_what_differs(copy):
  with pytest.raises(errors.InputError) as told:
    jobs.train(copy, jobs.config(network={'base_filters': 3},
                                 optimizer={'name': 'adafactor'}))
  assert 'network.base_filters is 2 there and 3 here' in str(told.value)
  assert "optimizer.name is 'adam' there" in str(told.value)
  assert 'levels' not in str(told.value)


@pytest.mark.parametrize('harm', [
    lambda data: data[:len(data) // 2], lambda data: b'\xff' * len(data)],
                         ids=['truncated', 'garbage'])
def test_a_damaged_checkpoint_is_told_and_the_one_before_serves(
    copy, harm, monkeypatch):
  newest = copy / 'model.ckpt-6.data-00000-of-00001'
  newest.write_bytes(harm(newest.read_bytes()))
  longer = jobs.config(training={'steps': 7})
  with pytest.raises(errors.InputError, match='model.ckpt-6: damaged'):
    jobs.train(copy, longer)
  for path in copy.glob('model.ckpt-6.*'):
    path.unlink()
  monkeypatch.setattr(training, '_run', lambda *_: None)
  assert jobs.train(copy, longer) == [f'Resuming from step 4 of 7 ({copy})']
  assert tf.train.latest_checkpoint(copy) == str(copy / 'model.ckpt-4')


@pytest.mark.parametrize('changes, words', [
    ({'data': {'size': (18, 16, 8)}}, 'nearest that works: 16 or 20'),
    ({'training': {'batch_size': 3}, 'mesh': {'batch_split': 2}},
     'nearest that works: 4'),
    ({'mesh': {'devices': 3}}, 'nearest that works: 2'),
    ({'optimizer': {'name': 'sgd'}}, 'one of adafactor, adam'),
], ids=['size', 'batch', 'devices', 'optimizer'])
def test_what_cannot_be_built_is_refused_with_what_can(tmp_path, changes,
                                                       words):
  with pytest.raises(errors.InputError, match=words):
    jobs.train(tmp_path, jobs.config(**changes))
