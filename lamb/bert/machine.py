"""Where an Estimator's job runs, and how its failures are told."""

from collections.abc import Iterator
import contextlib
import dataclasses
import re
from typing import Any

import tensorflow as tf

from lamb import errors


class DivergedError(errors.InputError):
  """Reports that the loss became NaN."""


@dataclasses.dataclass(frozen=True)
class Machine:
  """Where a job runs.

  Attributes:
    replicas: Data-parallel replicas in this process, each on a device.
    devices: Of the replicas; empty for `/cpu:0`, `/cpu:1`, ...
    master: TensorFlow server to run on, '' for this process.
    use_tpu: Whether to run on TPU cores (built to the API's rules, never run
      on one).
    cluster: Resolver of that TPU; None for this machine.
    tpu_cores: Of that TPU; they are the replicas.
    iterations_per_loop: Steps that a TPU makes by itself.
  """

  replicas: int = 1
  devices: tuple[str, ...] = ()
  master: str = ''
  use_tpu: bool = False
  cluster: Any = None
  tpu_cores: int = 8
  iterations_per_loop: int = 1000

  def __post_init__(self):
    for name in ('replicas', 'tpu_cores', 'iterations_per_loop'):
      if getattr(self, name) < 1:
        raise errors.InputError(
            f'{name}: got {getattr(self, name)!r}, expected a whole number '
            'from 1.')
    if self.devices and len(self.devices) != self.replicas:
      raise errors.InputError(
          f'devices: got {len(self.devices)}, expected one for each of '
          f'{self.replicas} replicas.')

  @property
  def shards(self) -> int:
    """Parts into which a batch is divided."""
    return self.tpu_cores if self.use_tpu else self.replicas

  def replica_devices(self) -> tuple[str, ...]:
    """Devices of the replicas in one graph."""
    if self.use_tpu or self.replicas == 1:
      return self.devices or ('',)
    return self.devices or tuple(
        f'/cpu:{number}' for number in range(self.replicas))

  def run_config(self, model_dir: str, seed: int, save_steps: int,
                 keep: int) -> tf.compat.v1.estimator.tpu.RunConfig:
    """Returns the Estimator's configuration."""
    session = tf.compat.v1.ConfigProto(
        device_count={'CPU': self.replicas}, allow_soft_placement=True)
    return tf.compat.v1.estimator.tpu.RunConfig(
        model_dir=model_dir, cluster=self.cluster, tf_random_seed=seed,
        master=self.master or None, session_config=session,
        save_checkpoints_steps=save_steps, keep_checkpoint_max=keep,
        log_step_count_steps=None,
        tpu_config=tf.compat.v1.estimator.tpu.TPUConfig(
            iterations_per_loop=self.iterations_per_loop if self.use_tpu
            else 1,
            num_shards=self.tpu_cores if self.use_tpu else None,
            per_host_input_for_training=(
                tf.compat.v1.estimator.tpu.InputPipelineConfig.PER_HOST_V2)))


@contextlib.contextmanager
def mistakes_told(model_dir: str) -> Iterator[None]:
  """Turns what a user can mend into one line.

  Args:
    model_dir: The job's folder.

  Raises:
    DivergedError: The loss became NaN.
    InputError: Memory does not suffice, or a record is damaged or does not
      fit the network.
  """
  try:
    yield
  except tf.estimator.NanLossDuringTrainingError as error:
    raise DivergedError(
        f'{model_dir}: the loss became NaN; expected a smaller learning_rate '
        'or more warmup.') from error
  except tf.errors.ResourceExhaustedError as error:
    raise errors.InputError(
        f'{model_dir}: out of memory; expected more accumulate_steps or a '
        'smaller batch.') from error
  except tf.errors.OpError as error:
    told = _of_records(error)
    if told is None:
      raise
    raise told from error


def _of_records(error):
  """Returns the InputError that a failure tells of, or None."""
  message = str(error)
  # What a function of the pipeline raises comes back as text.
  if told := re.search(r'InputError: (.*)', message):
    return errors.InputError(told[1])
  if wrong := re.search(r'= (-?\d+) is not in \[0, (\d+)\)', message):
    return errors.InputError(
        f'a record holds the number {wrong[1]}, expected one below {wrong[2]}: '
        'records made with the vocabulary of the network.')
  if 'Key: ' in message or 'Could not parse example' in message:
    return errors.InputError(
        'a record has other features than the first of its file, expected '
        'what create_pretraining_data.py writes.')
  return None


def saver_hook(model_dir: str, save_steps: int
               ) -> tf.estimator.CheckpointSaverHook:
  """Returns the hook that saves checkpoints, to stand behind a log's hook."""
  return tf.estimator.CheckpointSaverHook(
      model_dir, save_steps=save_steps, save_graph_def=False)
