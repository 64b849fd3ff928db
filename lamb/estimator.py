"""LAMB for TPUEstimator jobs, and a hook that shows its trust ratios.

The Keras optimizers train nothing inside an Estimator's `model_fn` and are
refused by `CrossShardOptimizer`; this one is a
`tf.compat.v1.train.Optimizer`. Its slots are named as in the authors' BERT and
in ALBERT, `<variable>/adam_m` and `<variable>/adam_v`, so that checkpoints can
be exchanged.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from lamb import errors
from lamb import hyperparameters
from lamb import param_filter
from lamb import tensorflow_update

_SLOTS = ('adam_m', 'adam_v')


class LambOptimizer(tf.compat.v1.train.Optimizer):
  """Updates variables by LAMB, Algorithm 2 of arXiv:1904.00962.

  Attributes:
    trust_ratios: Scalar tensor of each adapted variable, by its path; of the
      last `apply_gradients`.
  """

  def __init__(self, learning_rate: Any = 0.001, beta_1: float = 0.9,
               beta_2: float = 0.999, epsilon: float = 1e-6,
               weight_decay: float = 0.01, bias_correction: bool = True,
               exclude_from_weight_decay: Sequence[str] | None = None,
               exclude_from_layer_adaptation: Sequence[str] | None = None,
               norm: str = 'l2', phi_min: float = 0.0,
               phi_max: float | None = None,
               max_trust_ratio: float | None = None, nesterov: str = 'none',
               use_locking: bool = False, name: str = 'LAMB'):
    """Checks and keeps the settings.

    Args:
      learning_rate: Number, scalar tensor, or callable that returns one.
      beta_1: See `hyperparameters.LambHyperparameters`, as for all that is
        not named here.
      beta_2: See there.
      epsilon: See there.
      weight_decay: See there.
      bias_correction: See there; the authors' code does not correct.
      exclude_from_weight_decay: Regular expressions searched for in the
        variables' names, such as `lamb.BERT_EXCLUSIONS`.
      exclude_from_layer_adaptation: The same for the trust ratio; None means
        "as the list before".
      norm: See there.
      phi_min: See there.
      phi_max: See there.
      max_trust_ratio: See there.
      nesterov: See there.
      use_locking: As in every TensorFlow optimizer.
      name: Name of the operations.

    Raises:
      InputError: A setting is out of its range.
    """
    super().__init__(use_locking, name)
    self._learning_rate = learning_rate
    self._settings = hyperparameters.LambHyperparameters(
        beta_1=beta_1, beta_2=beta_2, epsilon=epsilon,
        weight_decay=weight_decay, bias_correction=bias_correction,
        exclude_from_weight_decay=exclude_from_weight_decay,
        exclude_from_layer_adaptation=exclude_from_layer_adaptation,
        norm=norm, phi_min=phi_min, phi_max=phi_max,
        max_trust_ratio=max_trust_ratio, nesterov=nesterov)
    self._step = None
    self._has_warned = False
    self._chain = tensorflow_update.UpdateChain()
    self.trust_ratios = {}

  def apply_gradients(self, grads_and_vars: Any, global_step: Any = None,
                      name: str | None = None) -> Any:
    """Updates the variables.

    Args:
      grads_and_vars: Pairs of gradient (or None) and variable.
      global_step: Counts the updates and is increased by 1. The bias
        correction needs it.
      name: Name of the operation.

    Returns:
      The operation that updates everything.

    Raises:
      InputError: There is no global step, but the bias is to be corrected.
    """
    grads_and_vars = list(grads_and_vars)
    if global_step is not None:
      self._step = tf.identity(global_step) + 1
    elif self._settings.bias_correction:
      raise errors.InputError(
          'global_step=None: expected tf.compat.v1.train.get_or_create_global_'
          'step(), which the bias correction counts by.')
    else:
      self._step = tf.ones([], tf.int64)
    if not self._has_warned:
      self._settings.warn_unmatched([
          param_filter.variable_path(variable.name)
          for gradient, variable in grads_and_vars if gradient is not None])
      self._has_warned = True
    self.trust_ratios = {}
    return super().apply_gradients(grads_and_vars, global_step, name)

  def _create_slots(self, var_list):
    for variable in var_list:
      for slot in _SLOTS:
        self._zeros_slot(variable, slot, slot)

  def _prepare(self):
    self._rate = tf.convert_to_tensor(
        self._call_if_callable(self._learning_rate))

  def _apply_dense(self, grad, var):
    path = param_filter.variable_path(var.name)
    done, ratio = tensorflow_update.update_lamb(
        var, *(self.get_slot(var, slot) for slot in _SLOTS), grad, self._step,
        self._rate, self._settings, decays=self._settings.decays(path),
        adapts=self._settings.adapts(path), chain=self._chain)
    if self._settings.adapts(path):
      self.trust_ratios[path] = ratio
    return done

  def _resource_apply_dense(self, grad, handle):
    return self._apply_dense(grad, handle)

  def _apply_sparse(self, grad, var):
    return self._apply_dense(grad, var)

  def _resource_apply_sparse(self, grad, handle, indices):
    return self._apply_dense(tf.IndexedSlices(grad, indices), handle)


class TrustRatioHook(tf.compat.v1.train.SessionRunHook):
  """Writes the trust ratio of each layer to TensorBoard, as `trust_ratio/...`.

  For CPU and GPU; a TPU cannot write summaries from inside its loop.
  """

  def __init__(self, optimizer: LambOptimizer, output_dir: str,
               every_steps: int = 100):
    """Keeps the arguments.

    Args:
      optimizer: The optimizer of the model, whose `apply_gradients` has been
        called when the session begins.
      output_dir: Folder of the event file.
      every_steps: Global steps between two records.
    """
    self._optimizer = optimizer
    self._output_dir = output_dir
    self._every_steps = every_steps
    self._saver = None

  def begin(self):
    """Adds the summaries to the graph."""
    summaries = [tf.compat.v1.summary.scalar(f'trust_ratio/{path}', ratio)
                 for path, ratio in self._optimizer.trust_ratios.items()]
    self._saver = tf.compat.v1.train.SummarySaverHook(
        save_steps=self._every_steps, output_dir=self._output_dir,
        summary_op=tf.compat.v1.summary.merge(summaries))
    self._saver.begin()

  def before_run(self, run_context):
    """Asks for the summaries where they are due."""
    return self._saver.before_run(run_context)

  def after_run(self, run_context, run_values):
    """Writes the summaries that came."""
    self._saver.after_run(run_context, run_values)

  def end(self, session):
    """Flushes the event file."""
    self._saver.end(session)
