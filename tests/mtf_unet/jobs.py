"""Jobs small enough to train in a test."""

import numpy as np
import tensorflow as tf

from mtf_unet import case_source
from mtf_unet import checkpoints
from mtf_unet import config as config_lib
from mtf_unet import layout
from mtf_unet import model
from mtf_unet import preprocess
from mtf_unet import training

SIZE = (16, 16, 8)

# Small, but with everything that a resume must continue: augmentation,
# dropout, a schedule, optimizer state and moving averages.
_BASE = {
    'data': {'size': SIZE, 'augmentation': {'noise_fine': 0.1}},
    'mesh': {'spatial_split': (2, 2, 1)},
    'network': {'base_filters': 2, 'levels': 2},
    'optimizer': {'name': 'adam', 'schedule': 'cosine', 'warmup_steps': 2,
                  'clip_norm': 1.0},
    'training': {'steps': 6, 'batch_size': 2, 'save_every_steps': 2,
                 'evaluate_every_steps': 3, 'summary_every_steps': 1,
                 'ema_decay': 0.5},
}


def mapping(**changes):
  """The small experiment; each change is a group of keys."""
  merged = {group: dict(keys) for group, keys in _BASE.items()}
  for group, keys in changes.items():
    merged.setdefault(group, {}).update(keys)
  return merged


def config(**changes):
  return config_lib.from_mapping(mapping(**changes))


def cases(count, of, seed=0):
  """Cases of an experiment, bright where labelled; a list is a source."""
  return [_case(of, f'case_{i}', np.random.default_rng([seed, i]))
          for i in range(count)]


def _case(of, name, rng):
  size = of.data.size
  label = np.zeros(size, np.uint8)
  for value in range(1, of.data.num_classes):
    start = rng.integers(0, [n // 2 for n in size])
    label[tuple(slice(s, s + n // 3 + 1) for s, n in zip(start, size))] = value
  image = label[..., None] + rng.normal(
      0, 0.1, size + (of.data.channels,))
  geometry = preprocess.Geometry(size, (1.0,) * 3, (0, 1, 2), (1, 1, 1), size,
                                 size)
  return case_source.Case(name, image.astype(np.float32), label, label,
                          (1.0,) * 3, geometry)


def train(model_dir, of, validation=None, count=3):
  """Trains and returns what was reported."""
  lines = []
  training.train(training.Job(of, str(model_dir), report=lines.append),
                 cases(count, of), validation)
  return lines


def write_weights(folder, of, seed=0):
  """Writes a checkpoint with random weights, as a training would."""
  rng = np.random.default_rng(seed)
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    tf.compat.v1.set_random_seed(seed)
    # A checkpoint knows nothing of the mesh; without one it is quick to build.
    whole = layout.partition(config_lib.MeshConfig())
    graph = model.prediction_graph(of, whole, of.data.size, 1)
    session.run(tf.compat.v1.global_variables_initializer())
    for variable in tf.compat.v1.global_variables():
      # Norms away from their start; a variance stays positive.
      if variable.shape.rank == 1:
        value = session.run(variable)
        variable.load(value + rng.uniform(-0.3, 0.3, value.shape), session)
    graph.saver.save(session, f'{folder}/model.ckpt', global_step=1)
  checkpoints.write_config(str(folder), of)


def write_checkpoint(folder, step, variables=None):
  """Writes some variables as a training does; returns the path prefix."""
  variables = variables or {'head/bias': [1.0, 2.0]}
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    for name, value in variables.items():
      tf.compat.v1.get_variable(name, initializer=np.float32(value))
    tf.compat.v1.get_variable('global_step', initializer=np.int64(step),
                              trainable=False)
    session.run(tf.compat.v1.global_variables_initializer())
    return checkpoints.Saver().save(
        session, f'{folder}/model.ckpt', global_step=step,
        write_meta_graph=False)


def weights(checkpoint):
  """Returns every variable of a checkpoint by name."""
  reader = tf.train.load_checkpoint(str(checkpoint))
  return {name: reader.get_tensor(name)
          for name in reader.get_variable_to_shape_map()}


def events(folder):
  """Lists (step, tag, value) of a folder's event files."""
  found = []
  for path in sorted(tf.io.gfile.glob(f'{folder}/events.out.*')):
    for event in tf.compat.v1.train.summary_iterator(path):
      found += [(event.step, value.tag, value) for value in event.summary.value]
  return found
