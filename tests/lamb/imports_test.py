import subprocess
import sys

import pytest

import lamb

_NO_TENSORFLOW = """
import sys
sys.modules['tensorflow'] = None
import lamb, lamb.schedules, lamb.update_rule, lamb.hyperparameters
assert lamb.BERT_EXCLUSIONS and lamb.schedules.bert_recipe(512)
assert 'keras' not in sys.modules
"""


def test_import_needs_no_framework():
  subprocess.run([sys.executable, '-c', _NO_TENSORFLOW], check=True)


def test_unknown_name_is_an_attribute_error():
  with pytest.raises(AttributeError, match="no attribute 'Lamb'"):
    lamb.Lamb  # noqa: B018
