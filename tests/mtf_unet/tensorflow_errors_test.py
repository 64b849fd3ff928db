import pytest
import tensorflow as tf

from mtf_unet import tensorflow_errors


def _fail(messages):
  """Raises errors, each while the one before is handled."""
  *inner, last = messages
  try:
    if inner:
      _fail(inner)
  finally:
    raise tf.errors.InternalError(None, None, last)


@pytest.mark.parametrize('messages, expected', [
    (['No space left'], 'No space left'),
    (['No space left\n\t [[node save]]', 'Graph execution error:\n\nDetected'],
     'No space left'),
    (['Key w not found [[{{node}}]] more', 'Graph execution error:',
      'Restoring failed, most likely'], 'Key w not found'),
    ([''], 'InternalError'),
], ids=['plain', 'wrapped', 'wrapped twice', 'silent'])
def test_reason_is_the_innermost_line(messages, expected):
  with pytest.raises(tf.errors.InternalError) as raised:
    _fail(messages)
  assert tensorflow_errors.reason(raised.value) == expected


def test_reason_of_a_python_error_is_its_text():
  assert tensorflow_errors.reason(IndexError('too short')) == 'too short'
