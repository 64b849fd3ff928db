import numpy as np
import pytest

from cnn_loopfilter import errors
from cnn_loopfilter import switch_coding


def _frames(count, shape=(5, 7), components=3, seed=0):
  random = np.random.default_rng(seed)
  return [tuple(random.random(shape) < random.choice([0, 0.1, 0.9, 1])
                for _ in range(components)) for _ in range(count)]


@pytest.mark.parametrize('coding', switch_coding.CODINGS)
@pytest.mark.parametrize('components', [1, 3])
def test_frames_come_back_in_their_order(coding, components):
  coder, other = switch_coding.make(coding), switch_coding.make(coding)
  for switches in _frames(12, components=components):
    data = coder.pack(switches)
    read = other.unpack(data, (5, 7), components)
    for first, second in zip(switches, read, strict=True):
      np.testing.assert_array_equal(first, second)


def test_plain_flags_are_written_as_the_specification_says():
  switches = (np.ones((1, 3), bool), np.zeros((1, 3), bool),
              np.array([[True, False, True]]))
  # On: 1. Off: 0, 1. By block: 0, 0, then its flags.
  assert switch_coding.Plain().pack(switches) == bytes([0b10100101])


def test_a_blocks_context_counts_its_neighbours():
  switches = np.array([[True, False], [False, False]])
  assert [switch_coding.block_context(1, switches, row, column) - 7
          for row, column in np.ndindex(2, 2)] == [2, 2, 2, 0]


def test_the_arithmetic_coder_learns_from_frame_to_frame():
  switches = (np.ones((5, 7), bool),) * 3
  coder = switch_coding.Arithmetic()
  costs = []
  for _ in range(12):
    costs.append(sum(switch_coding.cost(
        coder.model, switch_coding.flags(component, one))
                     for component, one in enumerate(switches)))
    # Zeros past the end decode to ones.
    assert coder.pack(switches) == b''
  assert costs[0] == 3
  assert costs[11] < 0.5


def test_it_takes_fewer_bytes_than_plain_bits_where_flags_are_alike():
  random = np.random.default_rng(0)
  switches = tuple(random.random((20, 30)) < 0.9 for _ in range(3))
  sizes = {coding: len(switch_coding.make(coding).pack(switches))
           for coding in switch_coding.CODINGS}
  assert sizes['plain'] == -(-3 * (2 + 600) // 8)
  assert sizes['arithmetic'] < 0.6 * sizes['plain']


def test_costs_are_those_of_the_coded_bytes():
  switches = _frames(1, (30, 40), seed=3)[0]
  coder = switch_coding.Arithmetic()
  told = sum(switch_coding.cost(coder.model,
                                switch_coding.flags(component, one))
             for component, one in enumerate(switches))
  assert 8 * len(coder.pack(switches)) == pytest.approx(told, abs=10)


@pytest.mark.parametrize('data, message', [
    (b'', 'got 0 bytes, expected more'),
    (bytes([0b00100000]), 'expected more for a grid of 2x4'),
    (bytes([0b11100001]), '5 bits more'),
    (bytes([0b11100000, 0]), '13 bits more'),
])
def test_plain_bytes_of_another_length_are_told(data, message):
  with pytest.raises(errors.InputError, match=message):
    switch_coding.Plain().unpack(data, (2, 4), 3)


def test_an_unknown_coding_is_told():
  with pytest.raises(errors.InputError, match="got 'huffman', expected one"):
    switch_coding.make('huffman')
