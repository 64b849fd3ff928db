"""A placement mesh whose processors share what lies in the same memory.

`PlacementMeshImpl` keeps a copy of every variable, its optimizer state and its
update for each processor. That is right for GPUs; but the CPU devices of one
process share one memory, where eight copies of the same 22 MB are seven too
many and an update done eight times is slow. Here

* a value is computed once for all processors of one memory whose inputs are
  the very same tensors (a function of equal inputs gives equal outputs);
* a sum over processors adds up within each memory first, once, and only the
  partial sums travel between memories;
* a variable has one slice in each memory; in the master's own memory that is
  the master, where the variable is not cut.

Activations are split, hence differ from block to block, hence are untouched.
"""

import tensorflow as tf

from mtf_unet.mtf_compat import mtf


def _memory_of(device: str) -> str:
  """Names the memory that a device works in."""
  spec = tf.DeviceSpec.from_string(device)
  if spec.device_type in (None, 'CPU', 'cpu'):
    spec = tf.DeviceSpec(job=spec.job, replica=spec.replica, task=spec.task,
                         device_type='CPU')
  return spec.to_string()


def _identity(value):
  """A key that is equal for the very same value."""
  return value if isinstance(value, (int, float, str)) else id(value)


class SharedMemoryMeshImpl(mtf.placement_mesh_impl.PlacementMeshImpl):
  """`PlacementMeshImpl` without copies inside one memory."""

  def __init__(self, shape, layout, devices):
    super().__init__(shape, layout, devices)
    self._memories = [_memory_of(device) for device in devices]

  @property
  def memories(self) -> list[str]:
    """The memory of each processor, by processor number."""
    return self._memories

  def slicewise(self, fn, *inputs):
    inputs = mtf.convert_args_to_laid_out_tensors(inputs)
    columns = [x.tensor_list if isinstance(x, self.LaidOutTensor)
               else [x] * self.size for x in inputs]
    results, known = [], {}
    for pnum, device in enumerate(self.devices):
      arguments = [column[pnum] for column in columns]
      key = (self._memories[pnum], *map(_identity, arguments))
      if key not in known:
        with tf.device(device):
          # A variable is read once, when it is lowered: else each use would
          # read it for itself, before or after its update.
          known[key] = fn(*[
              tf.convert_to_tensor(x) if isinstance(x, tf.Variable) else x
              for x in arguments])
      results.append(known[key])
    if isinstance(results[0], tuple):
      return tuple(self.LaidOutTensor(list(column))
                   for column in zip(*results))
    return self.LaidOutTensor(results)

  def laid_out_pcoord(self, mesh_axis):
    # Plain numbers: the base class spends four operations on each.
    return self.LaidOutTensor([
        mtf.pnum_to_processor_coordinates(self.shape, pnum)[mesh_axis]
        for pnum in range(self.size)])

  def laid_out_slice_num(self, tensor_shape):
    numbers = {}
    return self.LaidOutTensor([
        numbers.setdefault(tuple(self.slice_begin(tensor_shape, pnum)),
                           len(numbers)) for pnum in range(self.size)])

  def import_tf_tensor(self, x, tf_x):
    # A constant is made where it is used: from the memory in which it happens
    # to lie it would travel to all others, in every step.
    value = tf.get_static_value(tf_x)
    if value is None or value.ndim:
      return super().import_tf_tensor(x, tf_x)
    return self.slicewise(lambda: tf.constant(value, tf_x.dtype))

  def receive(self, x, mesh_axis, source_pcoord):
    return self._collective_with_groups(
        x.to_laid_out_tensor(), [mesh_axis],
        lambda tensors, devices: self._received(tensors, devices,
                                                source_pcoord))

  def _received(self, tensors, devices, sources):
    """What each of a group gets; within one memory nothing is copied."""
    received, zeros = [], {}
    for device, source in zip(devices, sources):
      memory = _memory_of(device)
      with tf.device(device):
        if source is None:
          if memory not in zeros:
            zeros[memory] = tf.zeros_like(tensors[0])
          received.append(zeros[memory])
        elif _memory_of(devices[source]) == memory:
          received.append(tensors[source])
        else:
          received.append(tf.identity(tensors[source]))
    return received

  def allreduce(self, x, mesh_axes, reduction_fn_string):
    if reduction_fn_string != 'SUM':
      return super().allreduce(x, mesh_axes, reduction_fn_string)
    return self._collective_with_groups(x, mesh_axes, self._sum)

  def _collective_with_groups(self, x, mesh_axes, collective):
    # The base class also takes a mesh of one processor for "all axes".
    if not mesh_axes or self.size == 1:
      return x
    return super()._collective_with_groups(x, mesh_axes, collective)

  def _sum(self, tensors, devices):
    """Adds within each memory, then between memories."""
    members = {}
    for tensor, device in zip(tensors, devices):
      members.setdefault(_memory_of(device), []).append((tensor, device))
    partial, homes = [], []
    for group in members.values():
      homes.append(group[0][1])
      with tf.device(homes[-1]):
        partial.append(tf.add_n([tensor for tensor, _ in group]))
    totals = dict(zip(members, mtf.placement_mesh_impl.allreduce_ring(
        partial, homes)))
    return [totals[_memory_of(device)] for device in devices]

  class LaidOutVariable(mtf.placement_mesh_impl.PlacementMeshImpl
                        .LaidOutVariable):
    """One slice for each memory and part of the variable."""

    def __init__(self, variable, mesh_impl):
      self._variable, self._mesh_impl = variable, mesh_impl
      shape = variable.outputs[0].shape
      keys = [(memory, tuple(mesh_impl.slice_begin(shape, pnum)))
              for pnum, memory in enumerate(mesh_impl.memories)]
      slices, master_key = {}, self._master_key(shape)
      if master_key in keys:
        slices[master_key] = variable.get_master()
      for pnum, key in enumerate(keys):
        if key not in slices:
          with tf.device(mesh_impl.devices[pnum]):
            slices[key] = tf.compat.v1.get_variable(
                f'{variable.name}_slice_{pnum}', mesh_impl.slice_shape(shape),
                dtype=variable.slice_dtype, trainable=False, collections=[])
      self._laid_out_tensor = mesh_impl.LaidOutTensor(
          [slices[key] for key in keys])
      self._copy_master_to_slices = self._assign(
          mtf.assign_slice, mesh_impl.make_slices(variable.get_master(), shape),
          # To itself it need not be copied.
          done={id(slices.get(master_key))})
      if master_key in keys:
        self._copy_slices_to_master = tf.group([])
      else:
        self._copy_slices_to_master = variable.assign_to_master(
            mesh_impl.combine_slices(
                [tf.cast(slices[key], variable.master_dtype) for key in keys],
                shape))

    def _master_key(self, shape):
      """The key of the slice that the master can be, None where it cannot."""
      variable = self._variable
      if (self._mesh_impl.slice_shape(shape) != shape.to_integer_list
          or variable.master_dtype != variable.slice_dtype
          or isinstance(variable, mtf.StackedVariable)):
        return None
      return _memory_of(variable.master_device), (0,) * shape.ndims

    def assign_to_slices(self, assign_fn, values):
      return self._assign(assign_fn, values, done=set())

    def _assign(self, assign_fn, values, done):
      """Assigns to every slice once, but not to those whose ids are done."""
      operations = []
      for pnum, (target, value) in enumerate(
          zip(self.laid_out_tensor.all_slices, values)):
        if id(target) not in done:
          done.add(id(target))
          with tf.device(self._mesh_impl.devices[pnum]):
            operations.append(assign_fn(self._variable, target, value))
      return tf.group(operations)
