"""Filters by file, as functions of one plane and a QP."""

from collections.abc import Sequence
import dataclasses
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
    sequences: of the filters' depth or more; a filter is made anew for
      samples of more bits.

  Returns:
    Functions by name.

  Raises:
    InputError: for a path that is not there, a name given twice, a file of
      another kind, a filter for more bits than a sequence has, or
      sequences of both 10 and 12 bits.
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
  depths = {sequence.format.depth: sequence.name for sequence in sequences}
  by_type = {}
  for depth, name in depths.items():
    dtype = frames_lib.sample_dtype(depth)
    if dtype in by_type:
      raise errors.InputError(
          f'--input: got sequences of {" and ".join(map(str, depths))} bits, '
          'expected 8 and one more at most')
    by_type[dtype] = (_exported if path.is_dir() else _float)(
        path, depth, name)
  return lambda plane, qp: by_type[plane.dtype](plane, qp)


def _check_depth(path, own, depth, name):
  if own > depth:
    raise errors.InputError(
        f'--filter: {path} is for {own} bits, but {name} has {depth}')


def _exported(path, depth, name):
  from cnn_loopfilter import artefact
  from cnn_loopfilter import bit_depth
  from cnn_loopfilter import runtime
  filter_ = artefact.load(path)
  _check_depth(path, filter_.depth, depth, name)
  return runtime.of(bit_depth.at_depth(filter_, depth)).filter_plane


def _float(path, depth, name):
  from cnn_loopfilter import float_filter
  from cnn_loopfilter import network
  source = float_filter.load(path)
  _check_depth(path, source.depth, depth, name)
  filtered = network.apply(dataclasses.replace(source, depth=depth))

  def filter_plane(plane, qp):
    samples = filtered(plane[None, ..., None].astype(np.int32), np.array([qp]))
    return np.asarray(samples)[0, ..., 0].astype(plane.dtype)

  return filter_plane
