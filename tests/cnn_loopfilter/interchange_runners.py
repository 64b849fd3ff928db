"""Runs what the exporters wrote, as functions of one plane and a QP."""

import os
import pathlib
import shutil
import subprocess

import numpy as np
import onnxruntime
import tensorflow as tf

from cnn_loopfilter import artefact
from cnn_loopfilter import onnx_export
from cnn_loopfilter import pretrained
from cnn_loopfilter import reference_c
from cnn_loopfilter import tflite_export

COMPILER = shutil.which('gcc') or shutil.which('cc')
# XNNPACK's, and TFLite's own.
TFLITE_KERNELS = (
    tf.lite.experimental.OpResolverType.AUTO,
    tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
_STRICT = ('-std=c99', '-Wall', '-Wextra', '-Wconversion', '-Werror',
           '-pedantic')


def build_decoder(path: pathlib.Path, *options: str) -> pathlib.Path:
  """Builds the C decoder without a warning; returns its path."""
  subprocess.run([COMPILER, *_STRICT, *options, '-o', path,
                  reference_c.SOURCE], check=True)
  return path


def _of_batches(run):
  """Makes a function of one plane of one of batches."""
  def filter_plane(plane, qp):
    filtered = run(plane[None, ..., None].astype(np.int32),
                   np.array([qp], np.int32))
    return filtered[0, ..., 0].astype(plane.dtype)
  return filter_plane


def onnx_batches(filter_, level=None):
  """Runs the ONNX model on batches; `level`: of onnxruntime's optimizations."""
  options = onnxruntime.SessionOptions()
  if level is not None:
    options.graph_optimization_level = level
  options.intra_op_num_threads = 1
  session = onnxruntime.InferenceSession(
      onnx_export.model(filter_).SerializeToString(), options,
      providers=['CPUExecutionProvider'])
  return lambda rec, qp: session.run(
      ['filtered'], {'reconstruction': rec, 'qp': qp})[0]


def onnx_plane(name):
  """Runs a shipped filter in onnxruntime."""
  return _of_batches(onnx_batches(artefact.load(pretrained.folder(name))))


def tflite_batches(model):
  """Runs a TFLite model on batches, by each set of kernels in turn."""
  for resolver in TFLITE_KERNELS:
    interpreter = tf.lite.Interpreter(
        model_content=model, num_threads=1,
        experimental_op_resolver_type=resolver)
    run = interpreter.get_signature_runner()
    yield lambda rec, qp, run=run: run(reconstruction=rec, qp=qp)['filtered']


def tflite_planes(name):
  """Runs a shipped filter in TFLite, by each set of kernels in turn."""
  model = tflite_export.model(artefact.load(pretrained.folder(name)))
  for run in tflite_batches(model):
    yield _of_batches(run)


def c_plane(name, program):
  """Runs a shipped filter in the C decoder, by files beside the program."""
  npz = pretrained.folder(name) / artefact.NPZ_NAME
  source, target = (program.with_name(f'{file}.yuv') for file in ('in', 'out'))
  def filter_plane(plane, qp):
    height, width = plane.shape
    source.write_bytes(plane.tobytes())
    subprocess.run([program, npz, source, target, f'--size={width}x{height}',
                    f'--qp={qp}', '--chroma=400'], check=True, timeout=120,
                   env={**os.environ, 'ASAN_OPTIONS': 'exitcode=99'})
    return np.fromfile(target, plane.dtype).reshape(plane.shape)
  return filter_plane
