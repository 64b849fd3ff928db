"""Batches as records.py would make them, from noise that can be removed."""

import numpy as np
import tensorflow as tf

from cnn_loopfilter import config as config_lib

_QPS = np.array([22, 27, 32, 37], np.float32)


def config(**groups) -> config_lib.Config:
  """A network of 3 layers that trains in moments."""
  start = {
      'network': {'filters': (6, 6)},
      'training': {'steps': 6, 'batch_size': 4, 'save_every_steps': 2,
                   'evaluate_every_steps': 2, 'evaluate_patches': 8,
                   'ema_decay': 0.9, 'summary_every_steps': 2},
  }
  return config_lib.from_mapping({
      name: {**start.get(name, {}), **groups.get(name, {})}
      for name in (*start, *groups)})


def _batch(rng, size, edge):
  original = np.cumsum(rng.integers(-2, 3, [size, edge, edge, 1]), axis=1) + 128
  qp = rng.choice(_QPS, size)
  # An error that a filter can see: a checkerboard that grows with the QP.
  board = np.indices([edge, edge]).sum(axis=0) % 2 * 2 - 1
  error = np.rint(board[None, :, :, None] * qp[:, None, None, None] / 8)
  return {'reconstruction': ((original + error) / 256).astype(np.float32),
          'original': (original / 256).astype(np.float32), 'qp': qp,
          'component': rng.integers(0, 3, size).astype(np.int32)}


def _dataset(make, size, edge):
  shape = [size, edge, edge, 1]
  return tf.data.Dataset.from_generator(make, output_signature={
      'reconstruction': tf.TensorSpec(shape, tf.float32),
      'original': tf.TensorSpec(shape, tf.float32),
      'qp': tf.TensorSpec([size], tf.float32),
      'component': tf.TensorSpec([size], tf.int32)})


def training(size=4, edge=12, fails_at=None):
  """Makes the endless batches from a step on; step `fails_at` raises."""
  def patches(start_step):
    def make():
      step = start_step
      while True:
        if step == fails_at:
          raise RuntimeError('the machine stops here')
        yield _batch(np.random.default_rng(step), size, edge)
        step += 1
    return _dataset(make, size, edge)
  return patches


def held_out(count=3, size=4, edge=12):
  """Makes a pass over a few batches that training does not see."""
  def make():
    for i in range(count):
      yield _batch(np.random.default_rng(10 ** 6 + i), size, edge)
  return lambda: _dataset(make, size, edge)
