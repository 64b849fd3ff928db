"""A new training that starts from the weights of another one."""

from collections.abc import Callable
from collections.abc import Sequence

import tensorflow as tf

from mtf_unet import checkpoints
from mtf_unet import errors
from mtf_unet import model


def find(path: str, model_dir: str, report: Callable[[str], None]
         ) -> tuple[str, dict[str, str]]:
  """Finds what a training starts from, and reports it.

  Args:
    path: a checkpoint or a folder with one; '' for none.
    model_dir: of the training; with a checkpoint in it, it goes on from there.
    report: receives a line about what is started.

  Returns:
    The checkpoint, and its names of variables to their names in this graph;
    nothing where the training starts from itself or from seeds.

  Raises:
    InputError: if there is no checkpoint, or none of its variables fits.
  """
  if not path or checkpoints.latest(model_dir) is not None:
    return '', {}
  checkpoint = resolve(path)
  found, left = map_variables(checkpoint, tf.compat.v1.global_variables())
  report(f'Starting {len(found)} variables from {checkpoint}'
         + (f'; new: {", ".join(left)}' if left else ''))
  return checkpoint, found


def resolve(path: str) -> str:
  """Returns the checkpoint that a path or its folder means.

  Raises:
    InputError: if there is none.
  """
  checkpoint = checkpoints.latest(path) if tf.io.gfile.isdir(path) else path
  if checkpoint is None or not tf.io.gfile.exists(checkpoint + '.index'):
    raise errors.InputError(
        f'config key training.warm_start: no checkpoint at {path!r}, expected '
        'a checkpoint or a folder with one')
  return checkpoint


def map_variables(checkpoint: str, variables: Sequence[tf.Variable]
                   ) -> tuple[dict[str, str], list[str]]:
  """Finds the variables that a checkpoint can start.

  A weight's moving average is preferred. The global step, averages and the
  state of the optimizer, whose names go on from a weight's, start anew.

  Args:
    checkpoint: path prefix.
    variables: of the new training.

  Returns:
    Names in the checkpoint to names here, where the shapes agree; and the
    weights that no variable of the checkpoint fits.

  Raises:
    InputError: if nothing agrees, or the checkpoint is damaged.
  """
  with checkpoints.reading(checkpoint):
    stored = dict(tf.train.list_variables(checkpoint))
  weights = [v.op.name for v in variables if v.trainable]
  found, left = {}, []
  for variable in variables:
    name = variable.op.name
    if name == 'global_step' or name.startswith(f'{model.EMA_SCOPE}/') or any(
        name.startswith((f'{weight}/', f'{weight}_')) for weight in weights):
      continue
    for source in (f'{model.EMA_SCOPE}/{name}', name):
      if stored.get(source) == variable.shape.as_list():
        found[source] = name
        break
    else:
      left.append(name)
  if not found:
    raise errors.InputError(
        f'config key training.warm_start: no variable of {checkpoint} has the '
        'name and shape of one of this network')
  return found, left
