"""Keras 3 on JAX and torch, and tf_keras, each in a process of its own."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from tests.lamb import problems
from tests.lamb import reference

_ROOT = pathlib.Path(__file__).parents[2]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec('tf_keras') is None,
                       reason='runs in the Keras 3 environment'),
]

_ENVIRONMENTS = {
    'jax': {'KERAS_BACKEND': 'jax'},
    'torch': {'KERAS_BACKEND': 'torch'},
    'legacy': {'TF_USE_LEGACY_KERAS': '1'},
}
_MODULE = {'jax': 'jax', 'torch': 'torch', 'legacy': 'tf_keras'}


@pytest.mark.parametrize('rule, options', [
    pytest.param('LAMB', {}, id='lamb'),
    pytest.param('LAMB', {'nesterov': 'both', 'norm': 'linf', 'epsilon': 0.0,
                          'phi_max': 2.0, 'max_trust_ratio': 10.0},
                 id='lamb_options'),
    pytest.param('LARS', {}, id='lars'),
])
@pytest.mark.parametrize('backend', _ENVIRONMENTS)
def test_backend_twenty_steps_are_within_1e_5(
    backend, rule, options, tmp_path):
  if importlib.util.find_spec(_MODULE[backend]) is None:
    pytest.skip(f'{_MODULE[backend]} is not installed: not tested with it')
  path = tmp_path / 'weights.npz'
  subprocess.run(
      [sys.executable, '-m', 'tests.lamb.backend_run', str(path), rule,
       json.dumps(options), '20'],
      cwd=_ROOT, check=True, timeout=300, env={
          **os.environ, **_ENVIRONMENTS[backend], 'TF_CPP_MIN_LOG_LEVEL': '2',
          'PYTHONPATH': str(_ROOT)})
  actual = np.load(path)
  expected = problems.expected(
      getattr(reference, rule.lower()), 20, float(np.float32(0.01)), options)
  for name, value in expected.items():
    assert reference.error(actual[name.replace('/', '__')], value) < 1e-5
  assert ('tensorflow' in actual['modules']) == (backend == 'legacy')
  assert ('tf_keras' in actual['modules']) == (backend == 'legacy')
