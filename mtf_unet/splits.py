"""Which cases are trained on and which are held out."""

import json
import os
import pathlib

import numpy as np

from mtf_unet import errors
from mtf_unet import scan_files

TRAIN = 'train'
VALIDATION = 'validation'


def from_file(path: str | os.PathLike, names: list[str]
              ) -> dict[str, list[str]]:
  """Reads a split file: {"train": [names], "validation": [names]}.

  A name may be a case's or its image file's. Cases that the file does not
  name are left out.

  Args:
    path: of the JSON file.
    names: of the cases that exist.

  Raises:
    InputError: for damaged JSON, a part that is missing or empty, a case that
      does not exist, or one that is named twice.
  """
  path = pathlib.Path(path)
  try:
    content = json.loads(path.read_text(encoding='utf-8'))
    parts = {part: [scan_files.stem(name) for name in content[part]]
             for part in (TRAIN, VALIDATION)}
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise errors.InputError(
        f'{path}: expected JSON with the lists "train" and "validation" '
        f'({error!r})') from error
  for part, named in parts.items():
    if not named:
      raise errors.InputError(
          f'{path}: "{part}" is empty, expected one case at least')
    unknown = sorted(set(named) - set(names))
    if unknown:
      raise errors.InputError(
          f'{path}: case {unknown[0]} of "{part}" does not exist in the folder')
  named = parts[TRAIN] + parts[VALIDATION]
  twice = sorted(name for name in set(named) if named.count(name) > 1)
  if twice:
    raise errors.InputError(
        f'{path}: case {twice[0]} is named twice, expected once')
  return parts


def by_fraction(names: list[str], validation_fraction: float, seed: int
                ) -> dict[str, list[str]]:
  """Holds out a random part of the cases, at least one and never all.

  Args:
    names: of the cases, in any order.
    validation_fraction: in (0, 1).
    seed: the same seed holds out the same cases.

  Raises:
    InputError: if there are fewer than two cases.
  """
  if len(names) < 2:
    raise errors.InputError(
        f'{len(names)} case found, expected two or more to hold one out (or a '
        'split file)')
  held_out = round(len(names) * validation_fraction)
  held_out = min(max(held_out, 1), len(names) - 1)
  order = _shuffled(sorted(names), seed)
  return {TRAIN: sorted(order[held_out:]), VALIDATION: sorted(order[:held_out])}


def fold_indices(names: list[str], fold: int, folds: int, seed: int
                 ) -> dict[str, list[int]]:
  """Splits the training cases once more, for choices made during development.

  Args:
    names: of the training cases, in any order.
    fold: the part that is validated on, 0 .. folds - 1.
    folds: number of parts; their sizes differ by one at most.
    seed: the same seed makes the same folds.

  Returns:
    Positions in `names`, for 'train' and for 'validation'.

  Raises:
    InputError: if there are fewer cases than folds.
  """
  if len(names) < folds:
    raise errors.InputError(
        f'config key data.folds: got {folds}, expected at most the '
        f'{len(names)} training cases')
  held_out = set(_shuffled(sorted(names), seed)[fold::folds])
  parts = {TRAIN: [], VALIDATION: []}
  for index, name in enumerate(names):
    parts[VALIDATION if name in held_out else TRAIN].append(index)
  return parts


def _shuffled(names, seed):
  order = np.random.Generator(np.random.Philox(key=seed)).permutation(
      len(names))
  return [names[i] for i in order]
