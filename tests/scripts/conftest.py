"""Lets the tests import what the scripts share, as the scripts do."""

import pathlib
import sys

_SCRIPTS = pathlib.Path(__file__).parents[2] / 'scripts'
sys.path += [str(_SCRIPTS / name) for name in ('shared', 'tables')]
