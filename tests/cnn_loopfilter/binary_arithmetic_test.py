import math

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies
import numpy as np
import pytest

from cnn_loopfilter import binary_arithmetic


def _coded(bits, contexts=1):
  encoder = binary_arithmetic.Encoder(binary_arithmetic.Contexts(contexts))
  for number, bit in enumerate(bits):
    encoder.encode(bit, number % contexts)
  return encoder.finish()


def _decoded(data, count, contexts=1):
  decoder = binary_arithmetic.Decoder(
      data, binary_arithmetic.Contexts(contexts))
  return [decoder.decode(number % contexts) for number in range(count)]


@settings(max_examples=200, deadline=None)
@given(strategies.lists(strategies.integers(0, 1), max_size=400),
       strategies.integers(1, 5))
def test_bits_come_back(bits, contexts):
  assert _decoded(_coded(bits, contexts), len(bits), contexts) == bits


@pytest.mark.parametrize('share', [0.0, 0.02, 0.3, 0.5, 0.9, 1.0])
def test_the_size_is_near_the_entropy(share):
  random = np.random.default_rng(1)
  bits = (random.random(20000) < share).astype(int).tolist()
  data = _coded(bits)
  assert _decoded(data, len(bits)) == bits
  entropy = sum(-p * math.log2(p) for p in (share, 1 - share) if p)
  # A window of 32 bits costs some hundredths of a bit, most on rare ones.
  assert 8 * len(data) / len(bits) < entropy + 0.06
  assert 8 * len(data) / len(bits) > entropy - 0.02


def test_bits_that_stand_in_contexts_cost_less_than_mixed_ones():
  bits = [0, 1] * 500
  assert len(_coded(bits, 2)) < 20 < 100 < len(_coded(bits, 1))


def test_costs_foretell_the_size():
  random = np.random.default_rng(2)
  bits = (random.random(3000) < 0.2).astype(int).tolist()
  contexts, told = binary_arithmetic.Contexts(1), 0.0
  for bit in bits:
    told += contexts.cost(bit, 0)
    contexts.learn(bit, 0)
  assert 8 * len(_coded(bits)) == pytest.approx(told, abs=12)


def test_probabilities_stay_inside_their_limits():
  for bit in (0, 1):
    contexts = binary_arithmetic.Contexts(1)
    for _ in range(2000):
      contexts.learn(bit, 0)
      assert 1 <= contexts.probability(0) <= 2 ** 16 - 1
    assert contexts.cost(bit, 0) < 0.01


def test_a_copy_learns_alone():
  contexts = binary_arithmetic.Contexts(2)
  other = contexts.copy()
  other.learn(1, 1)
  # Half of the way towards 1 after the first bit.
  assert other.probability(1) == 3 * 2 ** 14
  assert contexts.probability(1) == 2 ** 15


def test_the_bytes_are_the_same_everywhere():
  bits = [int(word) for word in format(0x5A5AF00FFFFF0001, '064b')]
  assert _coded(bits).hex() == '96d3554f8db6b54f80'


def test_any_bytes_decode_to_something():
  for seed in range(20):
    data = np.random.default_rng(seed).bytes(seed)
    assert set(_decoded(data, 300)) <= {0, 1}


def test_bits_are_packed_from_the_highest():
  assert binary_arithmetic.pack_bits([1, 0, 0, 0, 0, 0, 0, 1, 1]) == b'\x81\x80'
  assert binary_arithmetic.pack_bits([]) == b''
