"""Restores checkpoints written with TensorFlow Addons' LAMB.

TensorFlow Addons' LAMB was an optimizer of the older Keras base class. In a
`tf.train.Checkpoint` that class keeps its moments as "slot variables" `m` and
`v` of the weights, and its step count under the name `iter`, while the newer
base class tracks both as ordinary children.
"""

from typing import Any

_CHILDREN = {'iter': '_iterations', 'learning_rate': '_learning_rate'}


class RestoresTfaCheckpoints:
  """Maps the older names to the newer variables; mixed into an optimizer.

  The optimizer supplies `_slots_of(variable)` and `slot_names`. The older
  `decay`, `beta_1`, `beta_2` and `weight_decay_rate` are constants of the
  constructor, and are not restored.
  """

  def _lookup_dependency(self, name: str, *arguments: Any) -> Any:
    """Returns the child of that name, for TensorFlow's checkpoint reader."""
    found = super()._lookup_dependency(name, *arguments)
    child = getattr(self, _CHILDREN.get(name, ''), None)
    # A schedule in the place of the learning rate is not a variable.
    if found is None and hasattr(child, 'assign'):
      return child
    return found

  def _create_or_restore_slot_variable(
      self, slot_variable_position: Any, slot_name: str,
      variable: Any) -> None:
    """Restores a moment, at once or when the slots are built."""
    slots = self._slots_of(variable)
    if not slots:
      self._waiting.append((slot_variable_position, slot_name, variable))
    elif slot_name in self.slot_names:
      slot = slots[self.slot_names.index(slot_name)]
      slot_variable_position.restore(slot)

  def _restore_waiting(self) -> None:
    """Restores what came before the slots were built; called by `build`."""
    waiting, self._waiting = list(self._waiting), []
    for position in waiting:
      self._create_or_restore_slot_variable(*position)
