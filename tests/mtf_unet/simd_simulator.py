"""Runs the per-core program of `tpu.replicate` on a CPU, one copy a core.

`tpu.replicate` marks every operation of the program with the attribute
`_tpu_replicate`. Here the program is copied once for each core into a plain
graph, and what joins the copies is ordinary data flow:

  TPUReplicatedInput      core i takes the i-th input
  TPUReplicatedOutput     the i-th output is that of core i, when all are done
  CrossReplicaSum         the sum over the group's copies
  CollectivePermute       the source's copy, or zeros where there is none
  AllToAll                slices of the group's copies, concatenated
  Infeed*, Outfeed*       a queue between a core and its host

Nothing is known of what the program computes. An operation is copied when it
has a CPU kernel and no state, or is a read or write of a variable; any other
ends in an UnsupportedError, so that nothing is silently run otherwise than a
TPU would.

A variable that is one and the same for all cores (the global step) is written
once, when all cores have come to the write: on a TPU each core writes the
value that it computed from the common start, and all write the same.

Loops are copied operation by operation; the copies share one frame, so they
are in the same iteration when they meet in a collective.
"""

from collections.abc import Mapping
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from tensorflow.python.framework import kernels
from tensorflow.python.framework import op_def_registry
from tensorflow.python.tpu import topology as topology_lib

_CLUSTER = '_tpu_replicate'
# Reads and writes of resource variables; True for those that write.
_VARIABLES = {
    'ReadVariableOp': False, 'AssignVariableOp': True,
    'AssignAddVariableOp': True, 'AssignSubVariableOp': True,
}
# What leads a value on into a loop, or from one iteration to the next.
_PASSING = ('Enter', 'Identity', 'Switch')
# Bookkeeping of the cluster that computes nothing.
_MARKERS = ('TPUReplicateMetadata',)


class UnsupportedError(ValueError):
  """The program holds what cannot be run as a TPU would run it."""


def _split(name):
  """'^node' or 'node:output' to (node, output); output -1 is control."""
  if name.startswith('^'):
    return name[1:], -1
  node, _, output = name.partition(':')
  return node, int(output or 0)


def _joined(node, output):
  return f'^{node}' if output < 0 else f'{node}:{output}'


class _Program:
  """The nodes of a graph, told apart into host, cluster and its border."""

  def __init__(self, graph_def: tf.compat.v1.GraphDef):
    self.nodes = {node.name: node for node in graph_def.node}
    # Functions of the hosts' input pipelines.
    self.library = graph_def.library
    self.cluster = [node for node in graph_def.node
                    if _CLUSTER in node.attr
                    and node.op not in ('TPUReplicatedInput',
                                        'TPUReplicatedOutput')]
    self.inside = {node.name for node in self.cluster}
    names = {node.attr[_CLUSTER].s for node in self.cluster}
    if len(names) != 1:
      raise UnsupportedError(
          f'graph: {len(names)} programs of tpu.replicate, expected one')
    for node in self.cluster:
      _check(node)

  @property
  def _metadata(self):
    metadata, = [node for node in self.cluster
                 if node.op == 'TPUReplicateMetadata']
    return metadata.attr

  @property
  def cores(self) -> int:
    return self._metadata['num_replicas'].i

  def core_at(self, node) -> int:
    """The core that an operation of a host feeds, or is fed by."""
    topology = topology_lib.Topology(serialized=self._metadata['topology'].s)
    places = np.reshape(self._metadata['device_assignment'].list.i,
                        [self.cores, -1])
    task = tf.DeviceSpec.from_string(node.device).task
    place = topology.device_coordinates[task, node.attr['device_ordinal'].i]
    core, = np.flatnonzero((places == place).all(-1))
    return int(core)

  def constant(self, name: str):
    node = self.nodes[_split(name)[0]]
    if node.op != 'Const':
      raise UnsupportedError(
          f'{node.name}: got {node.op} as a list of cores, expected Const')
    return tf.make_ndarray(node.attr['value'].tensor)


def _check(node):
  if (node.op in _COLLECTIVES or node.op in _VARIABLES
      or node.op in _MARKERS or node.op in _FEEDS_OF_CORES):
    return
  definition = op_def_registry.get(node.op)
  on_cpu = definition is not None and any(
      kernel.device_type in ('CPU', 'DEFAULT')
      for kernel in kernels.get_registered_kernels_for_op(node.op).kernel)
  functions = [key for key, value in node.attr.items()
               if value.HasField('func') or value.list.func]
  if not on_cpu or definition.is_stateful or functions:
    raise UnsupportedError(
        f'{node.name}: no rule for the operation {node.op}, expected a '
        'stateless one with a CPU kernel, a variable, or one of '
        f'{", ".join(_COLLECTIVES)}')


class _Copier:
  """Writes the plain graph."""

  def __init__(self, program: _Program):
    self._program = program
    self.graph_def = tf.compat.v1.GraphDef(library=program.library)

  def copy(self) -> tf.compat.v1.GraphDef:
    for node in self._program.nodes.values():
      if node.name not in self._program.inside and node.op not in (
          'TPUReplicatedInput', 'TPUReplicatedOutput', 'TPUCompilationResult'):
        inputs = [
            name for host in node.input for name in self._host_input(host)]
        if node.op in _FEEDS_OF_HOSTS:
          _FEEDS_OF_HOSTS[node.op](self, node, node.name,
                                   self._program.core_at(node), inputs)
        else:
          self._add(node, node.name, inputs)
      elif node.op == 'TPUReplicatedOutput':
        self._end(node)
    for node in self._program.cluster:
      if node.op in _COLLECTIVES:
        _COLLECTIVES[node.op](self, node)
      elif node.op in _FEEDS_OF_CORES:
        for core in range(self._program.cores):
          _FEEDS_OF_CORES[node.op](self, node, _copy_name(node.name, core),
                                   core, self.inputs(node, core))
      elif node.op == 'LoopCond':
        self._decide_once(node)
      elif self._is_shared_write(node):
        self._write_once(node)
      else:
        for core in range(self._program.cores):
          self._add(node, _copy_name(node.name, core),
                    self.inputs(node, core),
                    'NoOp' if node.op in _MARKERS else None)
    return self.graph_def

  def _add(self, node, name, inputs, op=None):
    new = self.graph_def.node.add(name=name, op=op or node.op)
    # Control inputs come last, and once.
    new.input.extend(name for name in inputs if not name.startswith('^'))
    new.input.extend(dict.fromkeys(
        name for name in inputs if name.startswith('^')))
    if op is None:
      for key, value in node.attr.items():
        if not key.startswith('_'):
          new.attr[key].CopyFrom(value)

  def emit(self, name, op, inputs, **attributes):
    """Adds an operation of the simulator's own."""
    new = self.graph_def.node.add(name=name, op=op, input=inputs)
    for key, value in attributes.items():
      new.attr[key].CopyFrom(value)
    return name

  def constant(self, name, values):
    value = tf.make_tensor_proto(values, tf.int32)
    return self.emit(
        name, 'Const', [], dtype=_type(tf.int32),
        value=tf.compat.v1.AttrValue(tensor=value))

  def cores(self):
    return range(self._program.cores)

  def groups(self, node):
    """The list of cores that is the node's second input."""
    return self._program.constant(node.input[1]).tolist()

  def inputs(self, node, core):
    """All the node's inputs on a core."""
    return [name for tensor in node.input
            for name in self._core_input(tensor, core)]

  def source(self, node, core):
    """The copy of the node's first input on a core."""
    return self._core_input(node.input[0], core)[0]

  def control(self, node, core):
    """The node's control inputs on a core."""
    return [name for name in self.inputs(node, core) if name.startswith('^')]

  def _core_input(self, name, core):
    """Names in the plain graph of what an input is on one core."""
    node, output = _split(name)
    if node in self._program.inside:
      return [_joined(_copy_name(node, core), output)]
    if self._program.nodes[node].op == 'TPUReplicatedInput':
      replicated = self._program.nodes[node]
      if output < 0:
        return [f'^{_split(source)[0]}' for source in replicated.input]
      return self._host_input(self._replicated(replicated)[core])
    return self._host_input(name)

  def _replicated(self, node):
    data = [name for name in node.input if not name.startswith('^')]
    return data * self._program.cores if len(data) == 1 else data

  def _host_input(self, name):
    """The same of what an input is on the host."""
    node, output = _split(name)
    border = self._program.nodes[node]
    if node in self._program.inside:
      if output >= 0:
        raise UnsupportedError(
            f'{name}: leaves the program by itself, expected a '
            'TPUReplicatedOutput')
      return [f'^{_copy_name(node, core)}' for core in self.cores()]
    if border.op == 'TPUReplicatedOutput':
      return [_joined(_copy_name(node, max(output, 0)), min(output, 0))]
    if border.op == 'TPUCompilationResult':
      if output >= 0:
        raise UnsupportedError(f'{name}: nothing is compiled here')
      return []
    return [name]

  def _is_shared_write(self, node):
    if not _VARIABLES.get(node.op):
      return False
    border = self._program.nodes[_split(node.input[0])[0]]
    while border.op in _PASSING:
      border = self._program.nodes[_split(border.input[0])[0]]
    return (border.op != 'TPUReplicatedInput'
            or len(set(self._replicated(border))) == 1)

  def _end(self, node):
    """A result is there when all cores have come to the end."""
    sources = [self.source(node, core) for core in self.cores()]
    for core in self.cores():
      self.emit(_copy_name(node.name, core), 'Identity',
                [sources[core], *dict.fromkeys(
                    f'^{_split(source)[0]}' for source in sources)],
                T=node.attr['T'])

  def _decide_once(self, node):
    """A frame has one condition: the first core's, which all wait for."""
    first = _copy_name(node.name, 0)
    self._add(node, first, self.inputs(node, 0))
    for core in self.cores()[1:]:
      self.emit(_copy_name(node.name, core), 'Identity',
                [f'{first}:0', *self.control(node, core)], T=_type(tf.bool))

  def _write_once(self, node):
    first = _copy_name(node.name, 0)
    arrived = [f'^{_split(name)[0]}' for core in self.cores()
               for name in self.inputs(node, core)]
    self._add(node, first, self.inputs(node, 0) + arrived)
    for core in self.cores()[1:]:
      self._add(node, _copy_name(node.name, core), [f'^{first}'], 'NoOp')


def _copy_name(name, core):
  return f'core_{core}/{name}'


def _type(dtype):
  return tf.compat.v1.AttrValue(type=tf.as_dtype(dtype).as_datatype_enum)


def _number(value):
  return tf.compat.v1.AttrValue(i=value)


def _member_groups(copier, node):
  """Yields (core, its group in order), each core once."""
  groups = copier.groups(node)
  if sorted(core for group in groups for core in group) != list(
      copier.cores()):
    raise UnsupportedError(
        f'{node.name}: groups {groups}, expected every core once')
  for group in groups:
    for core in group:
      yield core, group


def _cross_replica_sum(copier, node):
  for core, group in _member_groups(copier, node):
    copier.emit(_copy_name(node.name, core), 'AddN',
                [copier.source(node, member) for member in group]
                + copier.control(node, core),
                N=_number(len(group)), T=node.attr['T'])


def _collective_permute(copier, node):
  pairs = copier.groups(node)
  sources = {target: source for source, target in pairs}
  if len(sources) != len(pairs):
    raise UnsupportedError(
        f'{node.name}: pairs {pairs}, expected every target once')
  for core in copier.cores():
    copier.emit(_copy_name(node.name, core),
                'Identity' if core in sources else 'ZerosLike',
                [copier.source(node, sources.get(core, core))]
                + copier.control(node, core), T=node.attr['T'])


def _all_to_all(copier, node):
  count, split_axis, concat_axis = [
      node.attr[key].i for key in ('split_count', 'split_dimension',
                                   'concat_dimension')]
  for core, group in _member_groups(copier, node):
    name = _copy_name(node.name, core)
    axis = copier.constant(f'{name}/split_axis', split_axis)
    parts = []
    for member in group:
      pieces = copier.emit(
          f'{name}/from_{member}', 'Split',
          [axis, copier.source(node, member)], num_split=_number(count),
          T=node.attr['T'])
      parts.append(f'{pieces}:{group.index(core)}')
    copier.emit(name, 'ConcatV2',
                [*parts, copier.constant(f'{name}/concat_axis', concat_axis)]
                + copier.control(node, core), N=_number(count),
                T=node.attr['T'], Tidx=_type(tf.int32))


def _queue(copier, name, kind, core, types, inputs):
  """Adds the queue of a core; inputs say in which frame it is used."""
  return copier.emit(
      f'{name}/queue', 'FIFOQueueV2',
      [f'^{_split(tensor)[0]}' for tensor in inputs], component_types=types,
      shared_name=tf.compat.v1.AttrValue(s=f'{kind}_{core}'.encode()))


def _put(kind):
  def enqueue(copier, node, name, core, inputs):
    types = node.attr['dtypes']
    queue = _queue(copier, name, kind, core, types, inputs)
    copier.emit(name, 'QueueEnqueueV2', [queue, *inputs], Tcomponents=types)
  return enqueue


def _take(kind):
  def dequeue(copier, node, name, core, inputs):
    types = node.attr['dtypes']
    queue = _queue(copier, name, kind, core, types, inputs)
    copier.emit(name, 'QueueDequeueV2', [queue, *inputs],
                component_types=types)
  return dequeue


_FEEDS_OF_HOSTS = {'InfeedEnqueueTuple': _put('infeed'),
                   'OutfeedDequeueTuple': _take('outfeed')}
_FEEDS_OF_CORES = {'InfeedDequeueTuple': _take('infeed'),
                   'OutfeedEnqueueTuple': _put('outfeed')}
_COLLECTIVES = {
    'CrossReplicaSum': _cross_replica_sum,
    'CollectivePermute': _collective_permute,
    'AllToAll': _all_to_all,
}


def plain_graph_def(graph_def: tf.compat.v1.GraphDef
                    ) -> tf.compat.v1.GraphDef:
  """Copies the program of a graph once for each core.

  Args:
    graph_def: holds one program of `tpu.replicate`, not run yet.

  Returns:
    A graph without any TPU operation; node `n` of the program is `core_i/n`,
    nodes outside keep their names, and devices are left out.

  Raises:
    UnsupportedError: for an operation without a rule, naming it.
  """
  return _Copier(_Program(graph_def)).copy()


class Simulator:
  """A session over the plain graph of what was built for a TPU.

  Args:
    graph: holds one program of `tpu.replicate`.
  """

  def __init__(self, graph: tf.Graph):
    self._program = _Program(graph.as_graph_def())
    self._copier = _Copier(self._program)
    with tf.Graph().as_default() as plain:
      tf.graph_util.import_graph_def(self._copier.copy(), name='')
    config = tf.compat.v1.ConfigProto()
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    self._session = tf.compat.v1.Session(graph=plain, config=config)

  def run(self, fetches: Sequence[tf.Tensor | tf.Operation],
          feeds: Mapping[tf.Tensor, object] | None = None) -> list:
    """Runs tensors and operations of the host's side.

    Args:
      fetches: of the graph that was given; results of `tpu.replicate` among
        them.
      feeds: values of its placeholders.
    """
    return self._session.run(
        [self._fetch(fetch) for fetch in fetches],
        {tensor.name: value for tensor, value in (feeds or {}).items()})

  def read(self, variables: Sequence[str]) -> list:
    """Reads variables of the host by their names."""
    return self._session.run([f'{name}/Read/ReadVariableOp:0'
                              for name in variables])

  def _fetch(self, fetch):
    if isinstance(fetch, tf.Operation):
      graph = self._session.graph
      if fetch.name in self._program.inside:
        return [graph.get_operation_by_name(_copy_name(fetch.name, core))
                for core in self._copier.cores()]
      return graph.get_operation_by_name(fetch.name)
    name, = self._copier._host_input(fetch.name)
    return name if ':' in name else f'{name}:0'

  def close(self) -> None:
    """Frees the session."""
    self._session.close()
