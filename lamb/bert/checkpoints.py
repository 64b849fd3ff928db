"""Finds checkpoints, and starts a network from a published one.

The weights here have google-research/bert's names, so its checkpoints load as
they are, and a training's own load there.
"""

from collections.abc import Callable
from collections.abc import Mapping
import contextlib
import os
import re

import tensorflow as tf

from lamb import errors


def latest(model_dir: str) -> str | None:
  """Returns the newest complete checkpoint of a folder, or None.

  The index is the last file of a checkpoint to be written, so one with an
  index is whole. TensorFlow's own list is not asked: where it is lost or names
  what is gone, a training would start anew.
  """
  found = {}
  for path in tf.io.gfile.glob(os.path.join(model_dir, '*.index')):
    match = re.fullmatch(r'.*-(\d+)\.index', path)
    if match:
      found[int(match[1])] = path.removesuffix('.index')
  return found[max(found)] if found else None


def step_of(checkpoint: str | None) -> int:
  """Returns the global step of a checkpoint, 0 without one.

  Raises:
    InputError: It is damaged.
  """
  if checkpoint is None:
    return 0
  with reading(checkpoint):
    return int(tf.train.load_variable(checkpoint, 'global_step'))


def write_list(model_dir: str) -> None:
  """Has TensorFlow resume from the newest complete checkpoint."""
  name = os.path.basename(latest(model_dir))
  tf.compat.v1.train.update_checkpoint_state(model_dir, name, [name])


@contextlib.contextmanager
def reading(checkpoint: str):
  """Tells in one line that a checkpoint cannot be read.

  Raises:
    InputError: In place of what TensorFlow raises within the context.
  """
  try:
    yield
  except (tf.errors.OpError, ValueError, IndexError) as error:
    line = str(getattr(error, 'message', error)).strip().splitlines()[0]
    raise errors.InputError(
        f'{checkpoint}: no checkpoint, or damaged ({line}).') from error


def resolve(path: str) -> str:
  """Returns the checkpoint that a path prefix or a folder means.

  Raises:
    InputError: There is none.
  """
  checkpoint = latest(path) if tf.io.gfile.isdir(path) else path
  if checkpoint is None or not tf.io.gfile.exists(checkpoint + '.index'):
    raise errors.InputError(
        f'init_checkpoint: no checkpoint at {path!r}, expected the prefix of '
        'one, such as FOLDER/bert_model.ckpt.')
  return checkpoint


def shared_weights(checkpoint: str, shapes: Mapping[str, tuple[int, ...]]
                   ) -> list[str]:
  """Returns the weights of a network that a checkpoint holds.

  Args:
    checkpoint: Path prefix.
    shapes: The network's, by name.

  Raises:
    InputError: It has none, or one of another size.
  """
  with reading(checkpoint):
    stored = dict(tf.train.list_variables(checkpoint))
  found = [name for name in shapes if name in stored]
  if not found:
    raise errors.InputError(
        f'{checkpoint}: none of the network\'s weights, such as '
        f'{next(iter(shapes))}; expected a checkpoint of BERT.')
  for name in found:
    if tuple(stored[name]) != tuple(shapes[name]):
      raise errors.InputError(
          f'{checkpoint}: {name} is {list(stored[name])} there and '
          f'{list(shapes[name])} here; expected a checkpoint of this size.')
  return found


def starter(checkpoint: str, shapes: Mapping[str, tuple[int, ...]],
            report: Callable[[str], None]
            ) -> Callable[[], tf.compat.v1.train.Scaffold]:
  """Returns a scaffold_fn that takes the weights a checkpoint holds.

  Args:
    checkpoint: Path prefix.
    shapes: Of the network's weights, by name.
    report: Receives one line for the user.
  """
  def scaffold_fn():
    found = shared_weights(checkpoint, shapes)
    tf.compat.v1.train.init_from_checkpoint(
        checkpoint, {name: name for name in found})
    report(f'Starting {len(found)} of {len(shapes)} weights from {checkpoint}')
    return tf.compat.v1.train.Scaffold()
  return scaffold_fn


def save_weights(session: tf.compat.v1.Session,
                 variables: Mapping[str, tf.Variable], path: str) -> str:
  """Writes the weights alone, as a published checkpoint has them.

  Args:
    session: Holds the values.
    variables: By name.
    path: Prefix of the files.

  Returns:
    The prefix.
  """
  saver = tf.compat.v1.train.Saver(dict(variables))
  return saver.save(session, path, write_meta_graph=False, write_state=False)
