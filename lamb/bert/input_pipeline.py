"""Records to batches; batch k depends on seed and k alone.

An Estimator does not save an iterator's position. So the order of an epoch is
a function of (seed, epoch), and a job that resumes at step k starts its data
set there. Each host reads only its own part of a batch.
"""

from collections.abc import Sequence
import dataclasses
import functools

from google.protobuf import message
import numpy as np
import tensorflow as tf

from lamb import errors
from lamb.bert import examples
from lamb.bert import record_files

# More than one hides the time of a read behind the training.
_PARALLEL_READS = 2
_PREFETCHED_BATCHES = 2
# Of each example, its number in the global batch of its step.
EXAMPLE_NUMBERS = 'example_numbers'
# 1 for an example, 0 for what fills the last batch of an evaluation up.
EXAMPLE_WEIGHTS = 'example_weights'


@dataclasses.dataclass(frozen=True)
class Shape:
  """Sizes of an example.

  Attributes:
    sequence_length: Tokens.
    max_predictions: Masked positions.
  """

  sequence_length: int
  max_predictions: int

  def lengths(self) -> dict[str, int]:
    """Returns the number of values of each feature."""
    return {
        **dict.fromkeys(examples.TOKEN_FEATURES, self.sequence_length),
        **dict.fromkeys(examples.PREDICTION_FEATURES, self.max_predictions),
        examples.WEIGHTS: self.max_predictions, examples.LABELS: 1}


def expand(patterns: str) -> tuple[str, ...]:
  """Returns the files that comma-separated names and patterns mean, sorted.

  Raises:
    InputError: A pattern matches nothing.
  """
  found = []
  for pattern in patterns.split(','):
    paths = tf.io.gfile.glob(pattern.strip())
    if not paths:
      raise errors.InputError(
          f'input_file: nothing matches {pattern!r}, expected files that '
          'create_pretraining_data.py has written.')
    found.extend(paths)
  return tuple(sorted(set(found)))


def open_file(path: str):
  """Opens a file of any file system that TensorFlow knows."""
  return tf.io.gfile.GFile(path, 'rb')


def shape_of(path: str) -> Shape:
  """Reads the sizes of a file's examples off its first record.

  Raises:
    InputError: The record is no pre-training example.
  """
  try:
    record = next(iter(tf.compat.v1.io.tf_record_iterator(path)), None)
    features = tf.train.Example.FromString(record or b'').features.feature
  except (tf.errors.DataLossError, message.DecodeError) as error:
    raise errors.InputError(
        f'{path}: no pre-training records, expected what '
        'create_pretraining_data.py writes.') from error
  if record is None:
    raise errors.InputError(f'{path}: holds no TFRecord, expected those of '
                            'pre-training.')
  missing = sorted(set(Shape(1, 1).lengths()) - set(features))
  if missing:
    raise errors.InputError(
        f'{path}: records without {missing[0]}, expected those of '
        'pre-training.')
  return Shape(len(features['input_ids'].int64_list.value),
               len(features['masked_lm_ids'].int64_list.value))


def files_of(paths: Sequence[str], shapes: Sequence[Shape]
             ) -> list[tuple[str, ...]]:
  """Divides files among stages by the length of their sequences.

  Args:
    paths: Record files.
    shapes: What each stage expects.

  Returns:
    The files of each stage.

  Raises:
    InputError: A file fits no stage, or a stage has no file.
  """
  wanted = {shape.sequence_length: shape for shape in shapes}
  found = {length: [] for length in wanted}
  for path in paths:
    actual = shape_of(path)
    if wanted.get(actual.sequence_length) != actual:
      raise errors.InputError(
          f'{path}: sequences of {actual.sequence_length} with '
          f'{actual.max_predictions} predictions, expected '
          + ' or '.join(f'{each.sequence_length} with {each.max_predictions}'
                        for each in wanted.values()) + '.')
    found[actual.sequence_length].append(path)
  for length, own in found.items():
    if not own:
      raise errors.InputError(
          f'input_file: no file with sequences of {length}, expected some for '
          'each stage.')
  return [tuple(found[shape.sequence_length]) for shape in shapes]


@functools.lru_cache(maxsize=8)
def index(paths: tuple[str, ...]) -> record_files.RecordIndex:
  """Indexes files once for all data sets of a process."""
  return record_files.index(paths, open_file)


@functools.lru_cache(maxsize=2)
def epoch_order(seed: int, epoch: int, length: int) -> np.ndarray:
  """Returns the order in which an epoch visits its records."""
  generator = np.random.Generator(np.random.Philox(
      np.random.SeedSequence(entropy=(seed, epoch))))
  order = generator.permutation(length)
  order.flags.writeable = False
  return order


def record_numbers(first: int, count: int, length: int, seed: int
                   ) -> np.ndarray:
  """Returns the records of examples counted through all epochs.

  Args:
    first: Number of the first example.
    count: Examples.
    length: Records of an epoch.
    seed: Of the order.
  """
  numbers = np.arange(first, first + count)
  found = np.empty(count, np.int64)
  for epoch in np.unique(numbers // length):
    here = numbers // length == epoch
    found[here] = epoch_order(seed, int(epoch), length)[numbers[here] % length]
  return found


@dataclasses.dataclass(frozen=True)
class Share:
  """The part of every batch that one host reads.

  A step's examples are dealt out in order: to the hosts, and on each host to
  its replicas, whose batches follow each other in the data set.

  Attributes:
    global_batch: Examples in a step, over all hosts.
    batch: Examples of a replica, one element of the data set.
    host: Number of this host.
    hosts: How many there are.
  """

  global_batch: int
  batch: int
  host: int = 0
  hosts: int = 1

  @property
  def replicas(self) -> int:
    """Elements of this host in a step."""
    return self.global_batch // (self.batch * self.hosts)

  def locate(self, element: int) -> tuple[int, int]:
    """Returns an element's step, and its first example's number in it."""
    step, replica = divmod(int(element), self.replicas)
    return step, (self.host * self.replicas + replica) * self.batch


def training_dataset(paths: tuple[str, ...], shape: Shape, share: Share, *,
                     seed: int, first_step: int) -> tf.data.Dataset:
  """Builds the endless batches of one host.

  Args:
    paths: Record files.
    shape: Sizes of an example.
    share: What this host reads.
    seed: Of the order.
    first_step: Steps of this stage that are done.

  Returns:
    A data set of dicts, see `examples`, with `example_numbers`; int32 and
    float32 [batch, ...].
  """
  records = index(paths)

  def read(element):
    step, number = share.locate(element)
    serialized = records.read(record_numbers(
        step * share.global_batch + number, share.batch, len(records), seed))
    return (np.array(serialized, object),
            np.arange(number, number + share.batch, dtype=np.int32))

  elements = tf.data.Dataset.range(
      first_step * share.replicas, tf.int64.max)
  return _mapped(elements, read, share.batch, shape, EXAMPLE_NUMBERS, tf.int32)


def evaluation_dataset(paths: tuple[str, ...], shape: Shape, share: Share, *,
                       steps: int) -> tf.data.Dataset:
  """Builds one pass in the order of the files; the last batch is filled up.

  Args:
    paths: Record files.
    shape: Sizes of an example.
    share: What this host reads.
    steps: Batches, see `evaluation_steps`.

  Returns:
    As `training_dataset`, but with `example_weights`.
  """
  records = index(paths)

  def read(element):
    step, number = share.locate(element)
    numbers = np.arange(share.batch) + step * share.global_batch + number
    kept = np.minimum(numbers, len(records) - 1)
    return (np.array(records.read(kept), object),
            (numbers < len(records)).astype(np.float32))

  elements = tf.data.Dataset.range(steps * share.replicas)
  return _mapped(elements, read, share.batch, shape, EXAMPLE_WEIGHTS,
                 tf.float32)


def evaluation_steps(paths: tuple[str, ...], batch: int,
                     steps: int | None = None) -> int:
  """Returns the batches of one pass, at most `steps`."""
  count = -(-len(index(paths)) // batch)
  return count if steps is None else min(count, steps)


def _mapped(elements, read, batch, shape, beside, dtype):
  """Reads and parses the batch of each element.

  Args:
    elements: Data set of batch numbers.
    read: Maps one to serialized Examples and one number of each.
    batch: Examples in it.
    shape: Of an example.
    beside: Name of the numbers among the features.
    dtype: Of the numbers.
  """
  def load(element):
    serialized, numbers = tf.numpy_function(read, [element], [tf.string, dtype])
    features = _parse(tf.ensure_shape(serialized, [batch]), shape)
    return features | {beside: tf.ensure_shape(numbers, [batch])}

  return elements.map(load, num_parallel_calls=_PARALLEL_READS,
                      deterministic=True).prefetch(_PREFETCHED_BATCHES)


def _parse(serialized, shape):
  """Parses a batch of Examples."""
  parsed = tf.io.parse_example(serialized, {
      name: tf.io.FixedLenFeature(
          [length], tf.float32 if name == examples.WEIGHTS else tf.int64)
      for name, length in shape.lengths().items()})
  # TPUs, and gathers on a CPU, prefer int32.
  return {name: tf.cast(values, tf.int32) if values.dtype == tf.int64
          else values for name, values in parsed.items()}
