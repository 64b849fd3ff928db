"""The training job on a TPU: one block, one program, each core.

  block_files, or case_source -> tpu_input (each host) -> infeed
    -> model on a SimdMesh -> outfeed -> tpu_summaries (first host)

TPUEstimator copies the step to all cores, repeats it on the device, feeds and
saves. Every core is a replica with a batch of its own to it, so what it calls
the training batch counts blocks; `config.training.batch_size` counts volumes,
here as everywhere.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import dataclasses

import tensorflow as tf

# The hook is not exported, but TPUConfig takes one of its own kind.
from tensorflow_estimator.python.estimator.tpu import tpu_estimator

from mtf_unet import block_files
from mtf_unet import case_source
from mtf_unet import checkpoints
from mtf_unet import errors
from mtf_unet import inference
from mtf_unet import layout
from mtf_unet import model
from mtf_unet import progress
from mtf_unet import tpu_input
from mtf_unet import tpu_mesh
from mtf_unet import tpu_prediction
from mtf_unet import tpu_summaries
from mtf_unet import tpu_system
from mtf_unet import training
from mtf_unet.mtf_compat import mtf

_tpu = tf.compat.v1.estimator.tpu


class _FeedHook(tpu_estimator.TPUInfeedOutfeedSessionHook):
  """Feeds a TPU that neither starts nor ends with the session.

  TPUEstimator would initialise the TPU once more after the variables are
  there, and shut it down before the last checkpoint has read them; it leaves
  both out by itself only where it broadcasts the batch.
  """

  def __init__(self, *arguments, **keywords):
    super().__init__(*arguments, **keywords)
    self._should_initialize_tpu = False

  @staticmethod
  def get_stopping_signals_and_name(features):
    """Says that the input never ends."""
    del features
    return None, None


@contextlib.contextmanager
def _loops_without_functions():
  """Has TensorFlow build loops from single operations.

  Mesh-TensorFlow makes its variables while the loop of the device is built,
  and leads them out of it; a loop's body that is a function keeps them in.
  """
  enabled = tf.compat.v1.control_flow_v2_enabled()
  tf.compat.v1.disable_control_flow_v2()
  try:
    yield
  finally:
    if enabled:
      tf.compat.v1.enable_control_flow_v2()


@dataclasses.dataclass(frozen=True)
class TpuJob(training.Job):
  """A training on a TPU.

  Attributes:
    system: the TPU; the config's mesh has one block for each of its cores.
    files: where the hosts read their blocks; None: this process reads
      whole cases and cuts them, which it can where it runs on the only host.
  """
  system: tpu_system.System = dataclasses.field(kw_only=True)
  files: block_files.BlockFiles | None = dataclasses.field(
      default=None, kw_only=True)

  def __post_init__(self):
    tpu_mesh.check_cores(self.partition, self.system.cores)

  @property
  def steps_per_run(self) -> int:
    """Steps that the device repeats by itself, but for the last time."""
    config = self.config.training
    return min(config.iterations_per_loop, config.save_every_steps)

  @property
  def cases_per_block(self) -> int:
    """Volumes, or slices in 2-D, of the batch that lie in one block."""
    return (self.config.training.batch_size
            // self.partition.blocks(layout.BATCH))

  def predictor(self, size: Sequence[int]) -> inference.Predictor:
    """Builds a predictor on the same TPU."""
    return tpu_prediction.predictor(self.config, self.partition, size,
                                    self.system)

  def fit(self, *arguments, **keywords) -> None:
    """Trains until the last step; see `training.Job.fit`.

    Raises:
      InputError: without block files where the hosts need them.
    """
    system = self.system
    if self.files is None and not (system.is_local or system.is_made):
      raise errors.InputError(
          f'--block_dir: expected it with the TPU of {system.master} '
          f'({system.hosts} hosts), on which no Python reads the cases; '
          'scripts/mtf_unet/cut_volumes.py fills it')
    with _loops_without_functions():
      super().fit(*arguments, **keywords)

  def estimator(self, validation: case_source.CaseSource | None,
                show: progress.ProgressHook) -> tf.estimator.Estimator:
    """Builds the Estimator; see `training.Job.estimator`."""
    estimator = _tpu.TPUEstimator(
        model_fn=_model_fn(self, validation, show), config=self._run_config(),
        train_batch_size=self.cases_per_block * self.system.cores)
    # It would ask the TPU, which initialises it again; a made one can't
    # answer. There is no public way in.
    estimator._ctx._lazy_tpu_system_metadata_dict[
        self.system.master] = self.system.metadata()
    return estimator

  def dataset(self, source: case_source.CaseSource, params: Mapping
              ) -> tf.data.Dataset:
    """Builds the input of one host, the blocks of its cores."""
    replicas = tpu_input.host_replicas(self.system.assignment,
                                       params['context'].current_host)
    start_step = checkpoints.newest_step(self.model_dir)
    if self.files is not None:
      return self.files.host_dataset(replicas, start_step=start_step)
    return tpu_input.host_dataset(source, self.config, self.partition,
                                  replicas, start_step=start_step)

  def _run_config(self):
    config, system = self.config.training, self.system
    return _tpu.RunConfig(
        model_dir=self.model_dir, tf_random_seed=config.seed,
        session_config=system.session_config(), log_step_count_steps=None,
        save_checkpoints_steps=config.save_every_steps,
        save_summary_steps=config.summary_every_steps, master=system.master,
        tpu_config=_tpu.TPUConfig(
            iterations_per_loop=self.steps_per_run, num_cores_per_replica=1,
            per_host_input_for_training=_tpu.InputPipelineConfig.PER_HOST_V2,
            experimental_host_call_every_n_steps=min(
                config.summary_every_steps, self.steps_per_run),
            experimental_feed_hook=_FeedHook))


def _model_fn(job, validation, show):
  """The Estimator's model_fn: called once, for what every core runs."""
  config, partition = job.config, job.partition

  def model_fn(features, labels, mode, params):
    del labels
    context = params['context']
    image, label = features['image'], features['label']
    graph = model.training_graph(
        config, partition, [image], [label], job.factories,
        mesh_impl=tpu_mesh.simd_mesh(partition, context.device_assignment),
        variable_placer=tpu_mesh.variable_placer(
            job.system.host_devices(), job.system.cores))
    # Hooks run on the hosts: their operations lie outside of the program.
    with mtf.utils.outside_all_rewrites():
      job.warm_start()
      saver = training.saver_hook(job, graph.lowering, validation)
      hooks = [mtf.MtfRestoreHook(graph.lowering), saver, show]
    return _tpu.TPUEstimatorSpec(
        mode, loss=graph.loss, train_op=graph.train_op, training_hooks=hooks,
        host_call=tpu_summaries.host_call(
            graph, image, label, partition, model_dir=job.model_dir,
            volumetric=config.network.dimensions == 3))
  return model_fn
