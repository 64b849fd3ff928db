"""The rows of the benchmark, and how one of them runs in a process.

No framework is imported before a variant is run, so that the process that
only starts others and prints the table stays small.
"""

import dataclasses
import importlib
import importlib.util
import math
import typing

from mtf_unet import errors
from mtf_unet.benchmark import measurement
from mtf_unet.benchmark import problem as problem_lib


@dataclasses.dataclass(frozen=True)
class Variant:
  """One row of the table.

  Attributes:
    name: as the table says it.
    backend: of the file `mtf_unet/benchmark/<backend>_step.py`.
    modes: ways to run it, by name, each with the arguments of the backend's
      `build`; the first is taken where none is asked for.
    requires: the package without which it cannot run.
    blocks: of the mesh; 0 for the other frameworks.
  """
  name: str
  backend: str
  modes: dict[str, dict[str, typing.Any]]
  requires: str = 'tensorflow'
  blocks: int = 0

  @property
  def installed(self) -> bool:
    """Whether its framework is there."""
    return importlib.util.find_spec(self.requires) is not None


def _mesh(*split):
  return Variant('mesh ' + 'x'.join(map(str, split)), 'mesh',
                 {'oneDNN': {'spatial_split': split}},
                 blocks=math.prod(split))


KERAS = Variant('Keras', 'keras', {
    'graph, oneDNN': {'compiled': False}, 'XLA': {'compiled': True}})
TORCH = Variant('PyTorch', 'torch', {
    name + order: {'compiled': compiled, 'channels_last': last}
    for name, compiled in (('eager', False), ('compiled', True))
    for order, last in (('', False), (', channels last', True))},
                requires='torch')
ALL = (_mesh(1, 1, 1), _mesh(2, 1, 1), _mesh(2, 2, 1), _mesh(2, 2, 2), KERAS,
       TORCH)


def find(name: str) -> Variant:
  """Returns the variant of that name.

  Raises:
    InputError: with the known names, if there is none.
  """
  for variant in ALL:
    if variant.name == name:
      return variant
  raise errors.InputError(
      f'variant: got {name!r}, expected one of '
      f'{", ".join(variant.name for variant in ALL)}')


def measure(problem: problem_lib.Problem, name: str, mode: str) -> dict:
  """Measures one variant in this process.

  Args:
    problem: what is computed.
    name: of the variant.
    mode: one of its modes, '' for the first.

  Returns:
    What `measurement.measure` returns.

  Raises:
    InputError: for an unknown variant or mode.
  """
  variant = find(name)
  mode = mode or next(iter(variant.modes))
  if mode not in variant.modes:
    raise errors.InputError(
        f'mode: got {mode!r} for {name}, expected one of '
        f'{"; ".join(variant.modes)}')
  backend = importlib.import_module(
      f'mtf_unet.benchmark.{variant.backend}_step')
  backend.warm_up()
  return measurement.measure(
      lambda: backend.build(problem, **variant.modes[mode]), problem.steps)
