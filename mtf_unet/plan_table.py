"""Writes a memory plan and the cost of its step as Markdown."""

import dataclasses

from mtf_unet import config as config_lib
from mtf_unet import layout
from mtf_unet import memory_planner
from mtf_unet import split_search
from mtf_unet import step_cost

_MIB = 2 ** 20
_UNITS = ((2 ** 40, 'TiB'), (2 ** 30, 'GiB'), (_MIB, 'MiB'), (2 ** 10, 'KiB'))
_MEMORY_COLUMNS = ('weights', 'optimizer', 'gradients', 'kept', 'halo')


def size(count: float) -> str:
  """Writes bytes with three digits and a unit."""
  for unit, name in _UNITS:
    if count >= unit:
      return f'{count / unit:.3g} {name}'
  return f'{count:.0f} B'


def _row(cells):
  return '| ' + ' | '.join(map(str, cells)) + ' |'


def _mib(count):
  return f'{count / _MIB:.2f}'


def layers(plan: memory_planner.Plan, cost: step_cost.Cost) -> str:
  """Writes a line for each layer, and one for their sum.

  Args:
    plan: memory.
    cost: of the same partition.

  Returns:
    A Markdown table; memory and traffic in MiB, work in GFLOP. Weights,
    optimizer and gradients are a device's, the other columns one block's.
  """
  head = ['layer', 'block', 'parameters', *_MEMORY_COLUMNS, 'halo voxels',
          'GFLOP', 'received']
  lines = [_row(head), _row(['---'] * len(head))]
  for layer, work in zip(plan.layers, cost.layers):
    lines.append(_row([
        layer.layer.name, 'x'.join(map(str, layer.shape)), layer.parameters,
        *(_mib(getattr(layer, key)) for key in _MEMORY_COLUMNS),
        f'{work.halo_voxels:.1%}' if work.halo_voxels else '',
        f'{work.flop / 1e9:.2f}', _mib(work.received)]))
  flop = sum(work.flop for work in cost.layers)
  received = sum(work.received for work in cost.layers)
  lines.append(_row([
      '**sum**', '', plan.total('parameters'),
      *(_mib(plan.total(key)) for key in _MEMORY_COLUMNS), '',
      f'{flop / 1e9:.2f}', _mib(received)]))
  return '\n'.join(lines)


def summary(config: config_lib.Config, plan: memory_planner.Plan,
            cost: step_cost.Cost, device_gib: float | None = None) -> str:
  """Writes what one device holds, computes and receives.

  Args:
    config: the experiment.
    plan: memory.
    cost: of the same partition.
    device_gib: memory of a device, to say whether the plan fits; or None.
  """
  lines = [_heading(config, plan), '', _row(['on each device', '']),
           _row(['---', '---'])]
  each, moment = plan.blocks_per_device, plan.block
  rows = {
      'weights (with copies, averages)': size(plan.total('weights')),
      f'optimizer state ({config.optimizer.name})': size(
          plan.total('optimizer')),
      'gradients': size(plan.total('gradients')),
      'input blocks': size(each * plan.input),
      'kept for the backward pass': size(each * plan.total('kept')),
      'of which margins (halos)': size(each * plan.total('halo')),
      f'peak of activations (at {moment.layer}: {moment.operation})': size(
          each * moment.bytes),
      '**memory at the peak**': f'**{size(plan.device)}**',
      'work of a step': f'{each * cost.flop / cost.mesh_size / 1e12:.3g} TFLOP',
      'received in a step, margins': size(cost.device('margins')),
      "received in a step, sums of the norm's statistics": size(
          cost.device('sums')),
      'received in a step, sums of gradients': size(cost.device('gradients')),
      'received in a step, all': size(cost.received)}
  lines += [_row(row) for row in rows.items()]
  lines += ['', f'A step of the whole mesh: {cost.flop / 1e12:.4g} TFLOP.']
  if device_gib is not None:
    lines.append(verdict(plan, device_gib))
  lines.append(
      'What is counted is tensors. One process on CPUs with all of the '
      f"mesh's blocks ({plan.partition.mesh_size}) would take about "
      f'{size(memory_planner.process_bytes(plan))} above idle.')
  return '\n'.join(lines)


def _heading(config, plan):
  """What is planned, in one line."""
  cut = plan.partition
  shape = cut.mesh_shape_string() or 'one block'
  return (
      f'{"x".join(map(str, config.data.size))} voxels, batch '
      f'{config.training.batch_size}, {config.network.activation_dtype}, '
      f'{config.optimizer.name}; mesh {shape}'
      + (f', layout {cut.layout_string()}' if cut.layout else '')
      + f': devices {cut.num_devices}, blocks on each {plan.blocks_per_device},'
      f' batch in {cut.blocks(layout.BATCH)}, space in '
      f'{"x".join(map(str, cut.spatial_split))}.')


def verdict(plan: memory_planner.Plan, device_gib: float) -> str:
  """Says whether a plan fits a device, in one line."""
  share = plan.device / (device_gib * memory_planner.GIB)
  word = 'fits' if share <= 1 else 'does NOT fit'
  return (f'The step {word}: {size(plan.device)} of {device_gib:g} GiB '
          f'({share:.0%}).')


def as_json(plan: memory_planner.Plan, cost: step_cost.Cost) -> dict:
  """Returns all numbers of a plan, for machines; bytes and FLOP."""
  return {
      'mesh_shape': plan.partition.mesh_shape_string(),
      'layout': plan.partition.layout_string(),
      'device_bytes': plan.device, 'received_bytes': cost.received,
      'flop': cost.flop, 'proposal': split_search.describe(plan.partition),
      'process_bytes': memory_planner.process_bytes(plan),
      'layers': [
          dataclasses.asdict(layer) | {'cost': dataclasses.asdict(work)}
          for layer, work in zip(plan.layers, cost.layers)]}
