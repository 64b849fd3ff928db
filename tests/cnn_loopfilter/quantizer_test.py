import contextlib
import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from cnn_loopfilter import calibration as calibration_lib
from cnn_loopfilter import config as config_lib
from cnn_loopfilter import equalization
from cnn_loopfilter import errors
from cnn_loopfilter import fine_tuning
from cnn_loopfilter import float_filter
from cnn_loopfilter import length_search
from cnn_loopfilter import network
from cnn_loopfilter import quantizer
from cnn_loopfilter import runtime
from tests.cnn_loopfilter import patch_batches

_CONFIG = config_lib.QuantizationConfig()


def float_network(seed=0, widths=(6, 5, 1)):
  """A filter with norms, a residual of some samples, and uneven channels."""
  rng = np.random.default_rng(seed)
  layers, inputs = [], 2
  for i, out in enumerate(widths):
    last = i == len(widths) - 1
    kernel = rng.normal(0, (2 / (9 * inputs)) ** 0.5, [3, 3, inputs, out])
    vectors = rng.uniform(0.5, 2.0, [4, out]).astype(np.float32)
    norm = None if last else float_filter.BatchNorm(
        vectors[0], vectors[1] - 1, (vectors[2] - 1) / 4,
        vectors[3] * np.exp(rng.normal(0, 1, out)).astype(np.float32), 1e-3)
    bias = rng.normal(0, 0.1, out) if last else np.zeros(out)
    layers.append(float_filter.Layer(
        kernel.astype(np.float32), bias.astype(np.float32), norm, not last))
    inputs = out
  return float_filter.FloatFilter(tuple(layers), 2.0 ** -6, 8, {'test': 1})


def calibration(count=8):
  return calibration_lib.from_batches(
      patch_batches.held_out()().as_numpy_iterator(), count, 8)


@pytest.fixture(scope='module')
def chosen():
  source, cal = float_network(), calibration()
  judge = length_search.Judge(source, _CONFIG, cal)
  lengths = length_search.best_start(judge, source, _CONFIG, cal)
  return source, cal, judge, lengths


def test_many_bits_follow_the_float_network():
  source, cal = float_network(), calibration()
  config = config_lib.QuantizationConfig(12, 24, 16)
  lengths = quantizer.ristretto(source, config, cal, spare_bits=1)
  integers = quantizer.to_integers(source, config, lengths)
  found = runtime.Reference(integers).filter_batch(cal.reconstruction, cal.qp)
  expected = network.apply(source)(cal.reconstruction, cal.qp).numpy()
  assert (found != cal.reconstruction).mean() > 0.5
  # Apart from values next to a half.
  assert (found != expected).mean() < 0.02
  assert np.abs(found - expected).max() <= 1


def test_rule_just_holds_the_largest_weights(chosen):
  source, cal, _, _ = chosen
  for layer, one in zip(quantizer.scaled(source),
                        quantizer.ristretto(source, _CONFIG, cal)):
    largest = np.abs(layer.kernel).max() * 2.0 ** one.weight_fl
    # fl = 8 - ceil(log2(max) + 1): the sign's bit is counted.
    assert 64 < largest <= 128


def test_biases_are_no_finer_than_their_accumulator(chosen):
  source, _, _, lengths = chosen
  filter_ = quantizer.to_integers(source, _CONFIG, lengths)
  assert [step.accumulator_shift for step in filter_.plan] == [0, 0, 0]
  assert filter_.residual_bits >= 2


def test_search_loses_less_than_its_start(chosen):
  source, _, judge, lengths = chosen
  told = []
  found, loss = length_search.search(
      judge, source, _CONFIG, lengths, sweeps=1,
      on_layer=lambda *words: told.append(words[:2]))
  assert loss < judge.loss_db(lengths)
  assert loss == pytest.approx(judge.loss_db(found), abs=1e-9)
  assert told == [(1, 3), (2, 3), (3, 3)]


def test_judge_sees_what_the_integers_do(chosen):
  source, cal, judge, lengths = chosen
  filter_ = quantizer.to_integers(source, _CONFIG, lengths)
  residual = runtime.Reference(filter_).residual(cal.reconstruction, cal.qp)
  exact = np.clip(cal.reconstruction + residual
                  / 2.0 ** filter_.residual_bits, 0, 255)
  x = network.inputs(tf.constant(cal.reconstruction / 256, tf.float32),
                     cal.qp)
  plain = np.clip(cal.reconstruction
                  + 256 * network.from_filter(source)(x).numpy(), 0, 255)
  errors_of = [np.bincount(cal.classes, np.square(y - cal.original).sum(
      axis=(1, 2, 3))) for y in (exact, plain)]
  expected = np.mean(10 * np.log10(errors_of[0] / errors_of[1]))
  assert judge.loss_db(lengths) == pytest.approx(expected, abs=2e-3)


def test_equalized_filter_is_the_same_function():
  source = float_network()
  even = equalization.equalized(source)
  cal = calibration()
  a, b = (network.apply(one)(cal.reconstruction, cal.qp).numpy()
          for one in (source, even))
  assert (a != b).mean() < 0.01
  for one, following in zip(even.layers, even.layers[1:]):
    np.testing.assert_allclose(
        np.abs(one.kernel).max(axis=(0, 1, 2)),
        np.abs(following.kernel).max(axis=(0, 1, 3)), rtol=0.2)


@pytest.mark.parametrize('largest, wanted', [
    (1.0, 127 / 128), (1.2, 127 / 128), (1.3, 1.3), (0.98, 0.98)])
def test_a_finer_length_is_reached_where_little_is_missing(largest, wanted):
  source = float_network(widths=(3, 1)).folded()
  kernel = np.full_like(source.layers[0].kernel, 0.25)
  kernel[1, 1, 0, 2] = largest
  source = dataclasses.replace(source, layers=(
      dataclasses.replace(source.layers[0], kernel=kernel), source.layers[1]))
  found = equalization.within_finer_lengths(source)
  tops = np.abs(found.layers[0].kernel).max(axis=(0, 1, 2))
  np.testing.assert_allclose(tops, [0.25, 0.25, wanted], rtol=1e-6)
  cal = calibration()
  a, b = (network.apply(one)(cal.reconstruction, cal.qp).numpy()
          for one in (source, found))
  assert (a != b).mean() < 0.01


def test_channel_without_weights_stays():
  source = float_network().folded()
  kernel = source.layers[0].kernel.copy()
  kernel[..., 2] = 0
  layers = (dataclasses.replace(source.layers[0], kernel=kernel),
            *source.layers[1:])
  even = equalization.equalized(dataclasses.replace(source, layers=layers))
  assert all(np.isfinite(layer.kernel).all() for layer in even.layers)
  assert not even.layers[0].kernel[..., 2].any()


def test_residual_scale_has_to_be_a_power_of_two():
  with pytest.raises(errors.InputError, match='residual_scale: got 0.3'):
    quantizer.scaled(dataclasses.replace(float_network(), residual_scale=0.3))


def test_calibration_needs_patches():
  with pytest.raises(errors.InputError, match='got no patch'):
    calibration_lib.from_batches([], 4, 8)


@pytest.mark.parametrize(('value', 'expected', 'slope'), [
    (0.3, 0.25, 1.0), (-0.375, -0.5, 1.0), (40.0, 31.75, 0.0)])
def test_straight_through_rounds_and_lets_gradients_pass(
    value, expected, slope):
  x = tf.constant(value)
  with tf.GradientTape() as tape:
    tape.watch(x)
    y = fine_tuning.straight_through(x, 8, 2)
  assert y.numpy() == expected
  assert tape.gradient(y, x).numpy() == slope


def test_fine_tuning_sees_the_integers(chosen):
  source, cal, _, lengths = chosen
  model = fine_tuning.build(source, _CONFIG, lengths)
  x = network.inputs(
      tf.constant(cal.reconstruction / 256, tf.float32), cal.qp)
  filter_ = quantizer.to_integers(source, _CONFIG, lengths)
  expected = runtime.Reference(filter_).residual(cal.reconstruction, cal.qp)
  found = model(x).numpy() * 2.0 ** filter_.layers[-1].output_fl
  np.testing.assert_array_equal(found, expected)


def test_fine_tuning_learns_and_resumes(chosen, tmp_path):
  source, cal, _, lengths = chosen
  patches = patch_batches.training()
  settings = fine_tuning.FineTuning(12, 1e-2, save_every=3)
  found = []
  for stops in ((12,), (5, 12)):
    folder, seen = tmp_path / str(len(stops)), []
    for stop in stops:
      with contextlib.suppress(KeyboardInterrupt):
        tuned = fine_tuning.fine_tune(
            source, _CONFIG, lengths, patches, settings, folder,
            on_step=_stopper(stop, seen))
    found.append(tuned)
  assert seen == [1, 2, 3, 4, 5, *range(4, 13)]
  for a, b in zip(found[0].layers, found[1].layers):
    np.testing.assert_allclose(a.kernel, b.kernel, rtol=1e-4, atol=1e-5)
  judge = length_search.Judge(source, _CONFIG, cal)
  after = length_search.Judge(found[0], _CONFIG, cal)
  assert (after.loss_db(lengths) - after.gain_db()
          < judge.loss_db(lengths) - judge.gain_db())


def _stopper(stop, seen):
  def on_step(done, total, words):
    del words
    seen.append(done)
    if done == stop < total:
      raise KeyboardInterrupt
  return on_step
