"""Times the integer filter beside float Keras and TensorFlow Lite.

  python scripts/cnn_loopfilter/benchmark.py --output=runs/filter_benchmark

prints seconds per luma frame, MACs per sample and peak memory of each way to
run a network of the given widths, and writes benchmark.md and benchmark.json.
Weights are random: no way's time depends on them, but for the proof of
exactness, which the table tells. Every figure comes from a fresh process;
rounds go through all ways in turn, and the least time counts. Seconds are
true on a quiet machine only; CPU seconds, of all threads, are nearly so on a
busy one. "Of matmul" is the rate of multiplications beside that of a float32
product of 2048x2048 matrices, measured in the same process.

float Keras is the network with batch norm folded into convolutions, whole
frames, its output scaled, added to the samples, rounded and clipped. The exact
ways work in tiles: "fast" takes the fastest kernels (int8 where oneDNN has
them), "float32" floats that hold integers, "int32" those. TensorFlow Lite runs
the same shapes with int8 weights and activations (XNNPACK), rounded in its own
way.
"""

import os

# Before TensorFlow is imported, here or in the processes that this one starts.
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import json
import pathlib
import platform
import resource
import subprocess
import sys
import time

# What all scripts share; a folder of its own, as scripts/ itself would hide
# the packages of the same names.
sys.path.append(str(pathlib.Path(__file__).parents[1] / 'shared'))

from absl import flags
import command_line
import numpy as np

from cnn_loopfilter import atomic_file
from cnn_loopfilter import errors

_SIZES = flags.DEFINE_list('sizes', ['416x240', '1920x1080'], 'WIDTHxHEIGHT.')
_FILTERS = flags.DEFINE_list('filters', ['64'] * 7, 'Filters of each layer.')
_BITS = flags.DEFINE_list('output_bits', ['8', '16'], 'Of the integer ways.')
_FRAMES = flags.DEFINE_integer('frames', 3, 'Timed frames in a process.')
_ROUNDS = flags.DEFINE_integer('rounds', 2, 'Processes of each way.')
_OUTPUT = flags.DEFINE_string('output', '', 'Folder of the two files.')
_WAY = flags.DEFINE_string('way', '', 'Run one way alone, print JSON.')
# Of the fast path, against float Keras.
_WANTED = {'8': 1.1, '16': 2.2}
_KERNELS = {'fast': 'int8', 'float32': 'float32', 'int32': 'int32'}
_MATRIX = 2048
_QP = 32


def _size(word):
  try:
    width, height = (int(number) for number in word.split('x'))
    if min(width, height) < 1:
      raise ValueError
    return width, height
  except ValueError as error:
    raise errors.InputError(
        f'--sizes: got {word!r}, expected WIDTHxHEIGHT') from error


def _ways():
  names = ['float Keras']
  for bits in _BITS.value:
    names += [f'{name}, {bits}-bit outputs' for name in _KERNELS]
  return [*names, 'TFLite int8 XNNPACK']


def _widths():
  return tuple(int(width) for width in _FILTERS.value) + (1,)


def _random_float(rng):
  """A network whose activations stay about 1; without norms."""
  from cnn_loopfilter import float_filter
  layers, inputs = [], 2
  for width in _widths():
    kernel = rng.normal(0, (2 / (9 * inputs)) ** 0.5, [3, 3, inputs, width])
    layers.append(float_filter.Layer(
        kernel.astype(np.float32), rng.normal(0, 0.05, width).astype(
            np.float32), None, width != 1 or len(layers) + 1 < len(_widths())))
    inputs = width
  return float_filter.FloatFilter(tuple(layers), 2.0 ** -6)


def _keras_model(source, entry):
  import tensorflow as tf
  x = entry
  for layer in source.layers:
    x = tf.keras.layers.Conv2D(
        layer.kernel.shape[-1], 3, padding='same',
        activation='relu' if layer.relu else None)(x)
  model = tf.keras.Model(entry, x)
  model.set_weights([w for layer in source.layers
                     for w in (layer.kernel, layer.bias)])
  return model


def _keras(source, plane):
  import tensorflow as tf
  model = _keras_model(source, tf.keras.Input([None, None, 2]))

  @tf.function
  def run(samples):
    start = tf.cast(samples, tf.float32) / 256
    x = tf.concat([start, tf.ones_like(start) * (_QP / 64)], axis=3)
    x = (start + model(x) * source.residual_scale) * 256
    return tf.cast(tf.round(tf.clip_by_value(x, 0, 255)), tf.int32)
  return lambda: run(tf.constant(plane[None, ..., None])).numpy()


def _integers(source, plane, bits, kernels):
  from cnn_loopfilter import calibration as calibration_lib
  from cnn_loopfilter import config as config_lib
  from cnn_loopfilter import quantizer
  from cnn_loopfilter import runtime_tensorflow
  rng = np.random.default_rng(1)
  patches = rng.integers(0, 256, [2, 48, 48, 1])
  calibration = calibration_lib.Calibration(
      patches, patches, np.array([_QP, _QP]), np.zeros(2, int), 8)
  config = config_lib.QuantizationConfig(output_bits=bits)
  filter_ = quantizer.to_integers(source, config, quantizer.ristretto(
      source, config, calibration))
  made = runtime_tensorflow.TensorFlowRuntime(filter_, kernels=kernels)
  return lambda: made.filter_plane(plane, _QP)


def _tflite(source, plane):
  import tensorflow as tf
  height, width = plane.shape
  model = _keras_model(source, tf.keras.Input([height, width, 2], batch_size=1))
  converter = tf.lite.TFLiteConverter.from_keras_model(model)
  converter.optimizations = [tf.lite.Optimize.DEFAULT]
  converter.target_spec.supported_ops = [
      tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
  converter.inference_input_type = converter.inference_output_type = tf.int8
  whole = np.random.default_rng(2).random([1, height, width, 2], np.float32)
  converter.representative_dataset = lambda: [[whole]]
  content = converter.convert()
  interpreter = tf.lite.Interpreter(
      model_content=content, num_threads=os.cpu_count())
  interpreter.allocate_tensors()
  where = interpreter.get_input_details()[0]['index']
  samples = (whole * 255 - 128).astype(np.int8)

  def run():
    interpreter.set_tensor(where, samples)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]['index'])
  return run


def _measure(way, size):
  """Runs one way in this process; returns its figures."""
  import tensorflow as tf
  tf.get_logger().setLevel('ERROR')
  width, height = size
  rng = np.random.default_rng(0)
  source = _random_float(rng)
  plane = rng.integers(0, 256, [height, width]).astype(np.int32)
  if way == 'float Keras':
    run = _keras(source, plane)
  elif way.startswith('TFLite'):
    run = _tflite(source, plane)
  else:
    name, bits = way.split(', ')
    run = _integers(source, plane, int(bits.split('-')[0]), _KERNELS[name])
  before = _peak_mb()
  seconds, cpu_seconds = _least_times(run)
  found = {'seconds': seconds, 'cpu_seconds': cpu_seconds,
           'peak_mb': _peak_mb(), 'peak_mb_before': before,
           'macs': source.macs_per_sample}
  matrix = tf.constant(rng.normal(size=[_MATRIX] * 2).astype(np.float32))
  product, _ = _least_times(lambda: tf.matmul(matrix, matrix).numpy())
  rate = source.macs_per_sample * plane.size / seconds
  return found | {'of_matmul': rate / (_MATRIX ** 3 / product)}


def _least_times(run):
  """Calls once to warm up, then some times; least seconds and CPU seconds."""
  run()
  seconds, cpu_seconds = [], []
  for _ in range(_FRAMES.value):
    start, cpu_start = time.perf_counter(), time.process_time()
    run()
    seconds.append(time.perf_counter() - start)
    cpu_seconds.append(time.process_time() - cpu_start)
  return min(seconds), min(cpu_seconds)


def _peak_mb():
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _run_child(way, size):
  command = [sys.executable, os.path.abspath(__file__), f'--way={way}',
             f'--sizes={size}', f'--filters={",".join(_FILTERS.value)}',
             f'--frames={_FRAMES.value}']
  done = subprocess.run(command, capture_output=True, text=True, check=False)
  if done.returncode:
    raise errors.InputError(
        f'{way} at {size} failed: {" ".join(done.stderr.split()[-60:])}')
  return json.loads(done.stdout.splitlines()[-1])


def _table(found):
  lines = ['| luma frame | way | s | of float Keras | CPU s | of '
           'float Keras | of matmul | peak MB | wanted |', '|---' * 9 + '|']
  for size in _SIZES.value:
    keras = found[size, 'float Keras']
    for way in _ways():
      one = found[size, way]
      ratio = one['seconds'] / keras['seconds']
      cpu, wanted = one['cpu_seconds'], ''
      if way.startswith('fast') and way.split()[1].split('-')[0] in _WANTED:
        limit = _WANTED[way.split()[1].split('-')[0]]
        wanted = f'{limit}: {"met" if ratio <= limit else "missed"}'
      lines.append(f'| {size} | {way} | {one["seconds"]:.3f} | {ratio:.2f} | '
                   f'{cpu:.3f} | {cpu / keras["cpu_seconds"]:.2f} | '
                   f'{one["of_matmul"]:.0%} | '
                   f'{one["peak_mb"]:.0f} | {wanted} |')
  return '\n'.join(lines)


def main() -> None:
  """Runs one way, or all of them into a table."""
  sizes = [_size(word) for word in _SIZES.value]
  if _WAY.value:
    print(json.dumps(_measure(_WAY.value, sizes[0])))
    return
  found = {}
  for _ in range(_ROUNDS.value):
    for size in _SIZES.value:
      for way in _ways():
        one = _run_child(way, size)
        print(f'{size} {way}: {one["seconds"]:.3f} s', file=sys.stderr,
              flush=True)
        found[size, way] = min(found.get((size, way), one), one,
                               key=lambda figures: figures['seconds'])
  macs = next(iter(found.values()))['macs']
  text = (f'Widths {_widths()}, {macs} MACs per sample; {os.cpu_count()} '
          f'cores, {platform.processor() or platform.machine()}, Python '
          f'{platform.python_version()}; least of {_ROUNDS.value} processes '
          f'of {_FRAMES.value} frames.\n\n{_table(found)}\n')
  print(text)
  if _OUTPUT.value:
    folder = pathlib.Path(_OUTPUT.value)
    with atomic_file.replacing(folder / 'benchmark.md') as stream:
      stream.write(text.encode('utf-8'))
    atomic_file.write_json(folder / 'benchmark.json', {
        f'{size} {way}': one for (size, way), one in found.items()})


if __name__ == '__main__':
  command_line.run(main)
