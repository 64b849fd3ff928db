"""Filters by file, as functions of one plane and a QP."""

from collections.abc import Sequence
import pathlib
import re

import numpy as np

from cnn_loopfilter import errors
from cnn_loopfilter import evaluation
from cnn_loopfilter import frames as frames_lib

# One filter for each QP: 22:PATH+27:PATH
_AT_QP = re.compile(r'(\d{1,2}):(.+)')


def load(words: Sequence[str], sequences: Sequence[frames_lib.Sequence]
         ) -> dict[str, evaluation.PlaneFilter]:
  """Loads filters that are to work on `sequences`.

  Args:
    words: [NAME=]PATH each, of a float filter (.npz) or an exported folder, or
      NAME=QP:PATH+QP:PATH for filters that were each trained at one QP.
    sequences: their depth must be the filters'.

  Returns:
    Functions by name.

  Raises:
    InputError: for a path that is not there, a name given twice, a file of
      another kind, or a filter for another depth.
  """
  filters = {}
  for word in words:
    name, _, path = word.rpartition('=')
    name = name or pathlib.Path(path).stem
    if name in filters:
      raise errors.InputError(
          f'--filter: got the name {name!r} twice, expected NAME=PATH')
    if _AT_QP.fullmatch(path):
      filters[name] = _one_for_each_qp(path, sequences)
    else:
      filters[name] = _load(path, sequences)
  return filters


def _one_for_each_qp(words, sequences):
  by_qp = {}
  for word in words.split('+'):
    found = _AT_QP.fullmatch(word)
    if not found or int(found[1]) in by_qp:
      raise errors.InputError(
          f'--filter: got {word!r} in {words!r}, expected NAME=QP:PATH+QP:PATH '
          'with each QP once')
    by_qp[int(found[1])] = _load(found[2], sequences)
  return evaluation.by_qp(by_qp)


def _load(path, sequences):
  path = pathlib.Path(path)
  if not path.exists():
    raise errors.InputError(f'--filter: {path}: no such file or folder')
  plane_filter, depth = (_exported if path.is_dir() else _float)(path)
  for sequence in sequences:
    if sequence.format.depth != depth:
      raise errors.InputError(
          f'--filter: {path} is for {depth} bits, but {sequence.name} has '
          f'{sequence.format.depth}')
  return plane_filter


def _exported(path):
  from cnn_loopfilter import runtime
  loaded = runtime.load(path)
  return loaded.filter_plane, loaded.depth


def _float(path):
  from cnn_loopfilter import float_filter
  from cnn_loopfilter import network
  source = float_filter.load(path)
  filtered = network.apply(source)

  def filter_plane(plane, qp):
    samples = filtered(plane[None, ..., None].astype(np.int32), np.array([qp]))
    return np.asarray(samples)[0, ..., 0].astype(plane.dtype)

  return filter_plane, source.depth
