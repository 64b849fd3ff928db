"""Variables left out of weight decay or of layer adaptation, by name.

A variable is left out when any of a list of regular expressions is found
(`re.search`) in its full path, such as `encoder/layer_0/LayerNorm/gamma`.
"""

from collections.abc import Iterable
from collections.abc import Sequence
import re
import warnings

from lamb import errors

# What the authors exclude in their BERT and ResNet-50 code. In the first,
# biases are neither decayed nor adapted; in the second, biases are both.
BERT_EXCLUSIONS = ('LayerNorm', 'layer_norm', 'bias')
RESNET_EXCLUSIONS = ('batch_normalization', 'LayerNorm', 'layer_norm')

_MAX_NAMES_SHOWN = 5


def check_patterns(
    argument: str, patterns: Sequence[str] | None
) -> tuple[str, ...] | None:
  """Checks a list of regular expressions and freezes it.

  Args:
    argument: Name of the argument, for the message.
    patterns: Regular expressions, or None.

  Returns:
    The patterns as a tuple, or None where None came.

  Raises:
    InputError: The argument is a str (which would be read letter by letter),
      holds something that is not a str, or an expression does not compile.
  """
  if patterns is None:
    return None
  if isinstance(patterns, (str, bytes)) or not isinstance(patterns, Iterable):
    raise errors.InputError(
        f'{argument}={patterns!r}: expected a list of regular expressions, '
        f'such as [{str(patterns)!r}].')
  frozen = tuple(patterns)
  for pattern in frozen:
    if not isinstance(pattern, str):
      raise errors.InputError(
          f'{argument}: expected regular expressions of type str, '
          f'got {pattern!r}.')
    try:
      re.compile(pattern)
    except re.error as error:
      raise errors.InputError(
          f'{argument}: {pattern!r} is no valid regular expression '
          f'({error}).') from error
  return frozen


def variable_path(name: str) -> str:
  """Strips the output number, `:0`, that TensorFlow adds to a name."""
  return re.sub(r':\d+$', '', name)


def is_excluded(patterns: Sequence[str] | None, path: str) -> bool:
  """Tells whether any of the patterns is found in a variable's path."""
  return any(re.search(pattern, path) for pattern in patterns or ())


def warn_unmatched(
    argument: str, patterns: Sequence[str] | None, paths: Sequence[str]
) -> None:
  """Warns of each pattern that matches no variable, naming some that exist.

  The authors' own lists hold spellings for several code bases: for one of
  their entries no warning is given as long as another one of the list matches.

  Args:
    argument: Name of the argument, for the message.
    patterns: Regular expressions, or None.
    paths: Paths of all variables that are trained.
  """
  for pattern in patterns or ():
    if any(re.search(pattern, path) for path in paths):
      continue
    if any(pattern in known and set(known) <= set(patterns)
           and any(is_excluded(known, path) for path in paths)
           for known in (BERT_EXCLUSIONS, RESNET_EXCLUSIONS)):
      continue
    shown = ', '.join(paths[:_MAX_NAMES_SHOWN])
    more = ', ...' if len(paths) > _MAX_NAMES_SHOWN else ''
    warnings.warn(
        f'{argument}: {pattern!r} matches none of the {len(paths)} variables '
        f'({shown}{more}).', stacklevel=3)
