"""Pictures of tensorflow-datasets, prepared on disk as a user has them."""

import importlib
import json

from absl import flags
import numpy as np
import pytest
import tensorflow_datasets as tfds

from cnn_loopfilter import data_config
from cnn_loopfilter import errors
from cnn_loopfilter import pictures
from cnn_loopfilter import prepare
from cnn_loopfilter.codec import x265
from tests import script_server

_SIZES = ((48, 64), (33, 51), (40, 40))


def _picture(number, channels=3):
  height, width = _SIZES[number]
  y, x = np.mgrid[:height, :width]
  waves = [128 + 90 * np.sin(x / (5 + number) + y / 9 + c)
           for c in range(channels)]
  return np.stack(waves, -1).astype(np.uint8)


class _Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
  """Pictures or words under one key."""
  VERSION = tfds.core.Version('1.0.0')
  key, channels, splits = 'image', 3, {'train': 3, 'test': 1}

  def _info(self):
    feature = (tfds.features.Image(shape=(None, None, self.channels))
               if self.channels else tfds.features.Text())
    return self.dataset_info_from_configs(
        features=tfds.features.FeaturesDict({self.key: feature}))

  def _split_generators(self, dl_manager):
    return {name: self._generate_examples(count)
            for name, count in self.splits.items()}

  def _generate_examples(self, count):
    for number in range(count):
      yield number, {self.key: _picture(number, self.channels)
                     if self.channels else 'words'}


class LfColour(_Builder, skip_registration=True):
  pass


class LfPairs(_Builder, skip_registration=True):
  key = 'hr'


class LfGray(_Builder, skip_registration=True):
  channels = 1


class LfWords(_Builder, skip_registration=True):
  channels = 0


class LfSounds(_Builder, skip_registration=True):
  key, channels = 'audio', 0


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  path = tmp_path_factory.mktemp('datasets')
  for builder in (LfColour, LfPairs, LfGray, LfWords, LfSounds):
    builder(data_dir=path).download_and_prepare()
  return path


@pytest.fixture
def open_input(folder, monkeypatch):
  """The scripts' function, which finds datasets in `folder`."""
  monkeypatch.syspath_prepend(
      str(script_server.ROOT / 'scripts/cnn_loopfilter'))
  builder = tfds.builder
  monkeypatch.setattr(
      tfds, 'builder', lambda name: builder(name, data_dir=folder))
  return importlib.import_module('frame_sources').open_input


@pytest.mark.parametrize('name', ['lf_colour', 'lf_pairs', 'lf_gray'])
def test_pictures_are_the_datasets_in_any_order(open_input, name):
  sequences = open_input(f'tfds:{name}')
  assert [s.name for s in sequences] == [f'{name}-{n:05d}' for n in range(3)]
  channels = 1 if name == 'lf_gray' else 3
  # The order of a prepared dataset is its own; sizes tell the pictures apart.
  made = {(frame.format.width, frame.format.height): frame for frame in (
      pictures.from_rgb(np.repeat(_picture(n, channels), 3 // channels, -1))
      for n in range(3))}
  for number in (2, 0, 0, 1, 2, 1):
    sequence = sequences[number]
    (frame,) = sequence.open()
    assert frame.format == sequence.format
    expected = made[sequence.format.width, sequence.format.height]
    for plane, other in zip(frame.planes, expected.planes):
      np.testing.assert_array_equal(plane, other)
  assert len({s.format for s in sequences}) == 3


def test_splits_and_slices_are_taken(open_input):
  assert len(open_input('tfds:lf_colour:test')) == 1
  assert len(open_input('tfds:lf_colour:train[1:]')) == 2


def test_one_picture_is_read_once_however_often_it_is_opened(
    open_input, monkeypatch):
  sequences, calls = open_input('tfds:lf_colour'), []
  convert = pictures.from_rgb
  monkeypatch.setattr(
      pictures, 'from_rgb', lambda rgb: (calls.append(1), convert(rgb))[1])
  for sequence in sequences:
    for _ in range(4):
      next(sequence.open())
  assert len(calls) == 3


def test_pictures_of_a_dataset_become_records(open_input, tmp_path):
  index = prepare.prepare(
      open_input('tfds:lf_colour'), x265.X265('ultrafast'), tmp_path / 'a',
      data_config.DataConfig(qps=(22, 37), patch_size=16, stride=16,
                             chroma_stride=8))
  assert [p['name'] for p in index['pictures']] == [
      f'lf_colour-{n:05d}' for n in range(3)]
  # 64x48, 50x32 and 40x40 in steps of 16, at two QPs.
  assert index['patches']['Y'] == 2 * (4 * 3 + 3 * 2 + 2 * 2)


@pytest.mark.parametrize('name, message', [
    ('tfds:no_such_data', "cannot open dataset 'no_such_data' (Dataset "),
    ('tfds:lf_colour:all_of_it', "cannot open dataset 'lf_colour:all_of_it'"),
    ('tfds:a b', "cannot open dataset 'a b' (Parsing builder name"),
    ('tfds:lf_words', "'lf_words' has the feature image as TensorSpec"),
    ('tfds:lf_sounds', "'lf_sounds' has no feature image or hr, but audio"),
    ('tfds:lf_colour:train[3:]', "'lf_colour:train[3:]' (Instruction"),
    ('lf_colour', 'lf_colour: no such file'),
], ids=['name', 'split', 'words', 'kind', 'key', 'empty', 'file'])
def test_what_is_no_dataset_of_pictures_is_told(open_input, name, message):
  # Those of the script, at their defaults.
  flags.FLAGS.mark_as_parsed()
  with pytest.raises(errors.InputError) as caught:
    open_input(name)
  assert message in str(caught.value)
  # Not the names of all datasets there are.
  assert '\n' not in str(caught.value) and len(str(caught.value)) < 250


@pytest.mark.slow
def test_the_script_takes_the_name_of_a_dataset(folder, tmp_path):
  done = script_server.run(
      'scripts/cnn_loopfilter/prepare_frames.py',
      '--config=configs/cnn_loopfilter/small.py',
      '--input=tfds:lf_colour:test', f'--output={tmp_path}/a',
      env={'TFDS_DATA_DIR': str(folder)})
  assert done.returncode == 0, done.stderr
  assert 'a: 1 pictures by x265 medium' in done.stdout
  index = json.loads((tmp_path / 'a/index.json').read_text())
  assert [p['name'] for p in index['pictures']] == ['lf_colour-00000']
