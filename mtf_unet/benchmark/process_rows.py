"""Ways to compute one step: in one process, cut or whole, and in several.

No framework here, so that what only starts others stays small.
"""

from collections.abc import Sequence
import dataclasses

SPLITS = {1: (1, 1, 1), 2: (2, 1, 1), 4: (2, 2, 1), 8: (2, 2, 2)}


@dataclasses.dataclass(frozen=True)
class Row:
  """One way to compute the step.

  Attributes:
    blocks: that the volume is cut into.
    workers: processes that hold them, the client not counted; 0 for virtual
      devices of one process.
  """
  blocks: int
  workers: int = 0

  @property
  def split(self) -> tuple[int, int, int]:
    """Blocks along x, y, z."""
    return SPLITS[self.blocks]

  @property
  def name(self) -> str:
    """As the table says it."""
    split = 'x'.join(map(str, self.split))
    if not self.workers:
      return f'1 process, {split}'
    return f'{self.workers} processes, {split}'


def rows(workers: Sequence[int]) -> list[Row]:
  """Lists one process with 1, 2, 4, 8 blocks, then a block for each worker."""
  return [Row(blocks) for blocks in SPLITS] + [
      Row(count, count) for count in workers]


def of_processes(count: int) -> Row:
  """Returns the row of so many processes with one block each."""
  return Row(count, 0 if count == 1 else count)
