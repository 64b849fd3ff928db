"""Leaves these tests out where TensorFlow has no Estimator (2.16 and later)."""

import importlib.util

collect_ignore_glob = ['*_test.py']
if importlib.util.find_spec('tensorflow_estimator') is not None:
  collect_ignore_glob = []
