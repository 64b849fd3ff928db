"""Tells what a training step needs before it is run.

  python scripts/mtf_unet/plan.py --config=configs/mtf_unet/lits_512.py \
      --device=v3
  ... --device=8 --fit        # the smallest mesh whose devices hold 8 GiB

Prints memory, work and traffic of each device by layer. Exits with status 2
where --device is too small for the config's own mesh.
"""

import dataclasses
import json
import pathlib
import sys

# What all scripts share; a folder of its own, as scripts/ itself would hide
# the packages of the same names.
sys.path.append(str(pathlib.Path(__file__).parents[1] / 'shared'))

from absl import flags
import command_line
import run_record

from mtf_unet import atomic_file
from mtf_unet import config as config_lib
from mtf_unet import errors
from mtf_unet import memory_planner
from mtf_unet import plan_table
from mtf_unet import split_search
from mtf_unet import step_cost

_CONFIG = command_line.define_config(config_lib.Config)
_DEVICE = flags.DEFINE_string(
    'device', None, 'Memory of one device: v2, v3, v4 (a core of that TPU: 8, '
    '16, 32 GiB) or a number of GiB.')
_FIT = flags.DEFINE_boolean(
    'fit', False, "Propose the smallest mesh that fits --device, of at most "
    'config.mesh.devices devices, in place of planning the config\'s own.')
_LAYERS = flags.DEFINE_boolean('layers', True, 'Print the table by layer.')
_OUTPUT = flags.DEFINE_string(
    'output', '', 'File for all numbers, as JSON.')
_JSON = flags.DEFINE_boolean('json', False, 'Print one object of JSON.')


def _plan(config: config_lib.Config, device_gib: float | None
          ) -> memory_planner.Plan:
  if not _FIT.value:
    return memory_planner.plan(config, split_search.partition_of(config))
  if device_gib is None:
    raise errors.InputError('--fit needs --device, expected v2, v3, v4 or GiB')
  return split_search.fit(config, device_gib, config.mesh.devices)


def main() -> None:
  """Plans and prints."""
  config = config_lib.from_mapping(_CONFIG.value)
  device_gib = (memory_planner.parse_device(_DEVICE.value)
                if _DEVICE.value else config.mesh.device_memory_gib)
  plan = _plan(config, device_gib)
  cost = step_cost.cost(config, plan.partition)
  if _OUTPUT.value:
    atomic_file.write_json(_OUTPUT.value, plan_table.as_json(plan, cost) | {
        'run': run_record.describe(
            dataclasses.asdict(config)
            | {'fit': _FIT.value, 'device': _DEVICE.value},
            config.training.seed)})
  if _JSON.value:
    print(json.dumps(plan_table.as_json(plan, cost)))
  else:
    if _FIT.value:
      print(f'Smallest mesh that fits: {split_search.describe(plan.partition)}'
            '\n')
    print(plan_table.summary(config, plan, cost, device_gib))
    if _LAYERS.value:
      print('\n' + plan_table.layers(plan, cost))
  if device_gib is not None and (
      plan.device > device_gib * memory_planner.GIB):
    sys.exit(2)


if __name__ == '__main__':
  command_line.run(main)
