"""What the cores of a TPU tell each other in a step, counted in the graph.

  permute   CollectivePermute: the margin of a halo exchange, one direction
  sum       CrossReplicaSum: statistics, sums of the loss, weight gradients
  exchange  AllToAll: not made by anything here so far

Only what a result or a change of state depends on is counted: TensorFlow takes
the rest out before it compiles.
"""

import collections
from collections.abc import Iterator
from collections.abc import Sequence
import dataclasses

import tensorflow as tf

_CLUSTER = '_tpu_replicate'
_KINDS = {'CollectivePermute': 'permute', 'CrossReplicaSum': 'sum',
          'AllToAll': 'exchange'}
# Operations, beside those with state, that the program is run for.
_RESULTS = ('TPUReplicatedOutput', 'OutfeedEnqueueTuple')
_LOSS_SCOPE = 'class_sums'
_GRADIENT_SCOPE = 'gradients'
LOSS, OTHER = 'loss', 'other'


@dataclasses.dataclass(frozen=True)
class Collective:
  """One operation by which cores tell each other something.

  Attributes:
    kind: one of the three above.
    layer: of the network, LOSS or OTHER.
    backward: whether it belongs to the gradients.
    shape: of the tensor that a core hands in.
    bytes: of that tensor.
    groups: of replicas that take part together; the (source, target) pairs of
      a permute.
    name: of the operation.
  """
  kind: str
  layer: str
  backward: bool
  shape: tuple[int, ...]
  bytes: int
  groups: tuple[tuple[int, ...], ...]
  name: str

  def received(self) -> dict[int, int]:
    """Returns the bytes that arrive at each core that any arrive at.

    A sum over n cores counts 2 (n - 1) / n of its tensor, as a ring does.
    """
    if self.kind == 'permute':
      return {target: self.bytes for _, target in self.groups}
    factor = 2 if self.kind == 'sum' else 1
    return {core: round(factor * (len(group) - 1) / len(group) * self.bytes)
            for group in self.groups for core in group}


def find(graph: tf.Graph, layers: Sequence[str]) -> list[Collective]:
  """Lists the collectives of a program in the order of its graph.

  Args:
    graph: holds a program of `tpu.replicate`.
    layers: names of the network's layers, which are scopes of its operations.
  """
  live = _live(graph)
  return [_collective(operation, set(layers))
          for operation in graph.get_operations()
          if operation.type in _KINDS and operation.name in live]


def _live(graph):
  """Names of the operations that anything worth running depends on."""
  waiting = [operation for operation in graph.get_operations()
             if operation.type in _RESULTS or (
                 _is_inside(operation) and operation.op_def.is_stateful
                 and operation.type not in ('ReadVariableOp', *_KINDS))]
  found = set()
  while waiting:
    operation = waiting.pop()
    if operation.name not in found:
      found.add(operation.name)
      waiting += ancestors(operation)
  return found


def _is_inside(operation):
  return _CLUSTER in operation.node_def.attr


def ancestors(operation: tf.Operation) -> list[tf.Operation]:
  """Lists what an operation waits for directly."""
  return [*operation.control_inputs, *(x.op for x in operation.inputs)]


def _collective(operation, layers):
  tensor = operation.inputs[0]
  scope = _scope(operation, layers)
  layer = next((part for part in scope if part in layers),
               LOSS if _LOSS_SCOPE in scope else OTHER)
  groups = tf.make_ndarray(
      operation.inputs[1].op.node_def.attr['value'].tensor)
  return Collective(
      _KINDS[operation.type], layer, _GRADIENT_SCOPE in scope,
      tuple(tensor.shape.as_list()),
      tensor.shape.num_elements() * tensor.dtype.size,
      tuple(map(tuple, groups.tolist())), operation.name)


def _scope(operation, layers):
  """The scopes that tell where a collective belongs.

  Mesh-TensorFlow puts some sums off until their first use, elsewhere: then
  what is summed tells.
  """
  waiting, seen = collections.deque([operation]), set()
  while waiting:
    operation = waiting.popleft()
    scope = operation.name.split('/')
    if layers.intersection(scope) or _LOSS_SCOPE in scope:
      return scope
    if operation.name not in seen:
      seen.add(operation.name)
      waiting += ancestors(operation)
  return []


def received(found: Sequence[Collective]) -> int:
  """Returns the bytes that the busiest core receives."""
  by_core = collections.Counter()
  for one in found:
    by_core.update(one.received())
  return max(by_core.values(), default=0)


def totals(found: Sequence[Collective]) -> dict[str, dict[str, int]]:
  """Sums up by kind.

  Returns:
    By kind, and over all under 'all': 'count' of operations, 'bytes' that a
    core hands in and 'received' by the busiest core.
  """
  groups = {kind: [one for one in found if one.kind == kind]
            for kind in dict.fromkeys(one.kind for one in found)}
  return {kind: {'count': len(ones), 'bytes': sum(one.bytes for one in ones),
                 'received': received(ones)}
          for kind, ones in [*groups.items(), ('all', found)]}


def _rows(found) -> Iterator[tuple]:
  rows = collections.defaultdict(list)
  for one in found:
    sizes = sorted({len(group) for group in one.groups})
    group = (f'{len(one.groups)} pairs' if one.kind == 'permute' else
             f'{len(one.groups)} of {"/".join(map(str, sizes))}')
    way = 'backward' if one.backward else 'forward'
    rows[one.layer, way, one.kind, group].append(one)
  for key, ones in rows.items():
    yield (*key, len(ones), sum(one.bytes for one in ones), received(ones))
  for kind, total in totals(found).items():
    yield '**sum**', '', kind, '', *total.values()


def table(found: Sequence[Collective]) -> str:
  """Writes a line for each layer, direction, kind and group, and their sums.

  Returns:
    A Markdown table: what a core hands in, and what the busiest receives.
  """
  head = ('layer', 'pass', 'kind', 'groups', 'count', 'bytes', 'received')
  rows = [head, ('---',) * len(head), *_rows(found)]
  return '\n'.join('| ' + ' | '.join(map(str, row)) + ' |' for row in rows)


def as_json(found: Sequence[Collective]) -> dict:
  """Returns all collectives and their sums, for machines."""
  return {'totals': totals(found),
          'collectives': list(map(dataclasses.asdict, found))}
