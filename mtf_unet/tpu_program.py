"""Builds the whole job of a TPU, stops before anything is run, and tells of it.

What is built is what a training would run: the program of the cores with the
loop on the device, and around it input, outfeed and checkpoints of the hosts.
"""

from collections.abc import Sequence
import contextlib
import dataclasses
import math
import tempfile

import tensorflow as tf

from mtf_unet import collectives
from mtf_unet import memory_planner
from mtf_unet import model
from mtf_unet import plan_table
from mtf_unet import progress
from mtf_unet import tpu_input
from mtf_unet import tpu_job


@dataclasses.dataclass(frozen=True)
class HostReads:
  """What one host hands out in a step.

  Attributes:
    device: of the host.
    replicas: its own, in the order in which it feeds them.
    rows: of the batch, whose cases it reads.
    bytes: of images and labels that go to its cores.
  """
  device: str
  replicas: list[int]
  rows: list[int]
  bytes: int


@dataclasses.dataclass(frozen=True)
class Program:
  """A built job.

  Attributes:
    job: what it was built from.
    graph: TensorFlow's; what the cores run is marked `_tpu_replicate`.
    hosts: what each reads.
    collectives: of one step.
  """
  job: tpu_job.TpuJob
  graph: tf.Graph
  hosts: list[HostReads]
  collectives: list[collectives.Collective]


class _Built(Exception):
  """Ends the training before its session is opened."""


class _StopHook(tf.estimator.SessionRunHook):
  """The first hook to be called when the graph is there."""

  def begin(self):
    self.graph = tf.compat.v1.get_default_graph()
    raise _Built


def build(job: tpu_job.TpuJob) -> Program:
  """Builds what a training would hand to the TPU and its hosts.

  Args:
    job: the job; its system may be made up. Its folder is left alone.

  Raises:
    InputError: what a training would tell while it is built.
  """
  config = job.config
  model.check(config, job.partition, config.data.size,
              config.training.batch_size)
  graph = _graph(job)
  layers = [layer.name for layer in memory_planner.layers_of(config)]
  return Program(job, graph, host_reads(job), collectives.find(graph, layers))


def _graph(job):
  stop, config = _StopHook(), job.config.training
  show = progress.ProgressHook(config.steps, config.batch_size)
  # Event files are opened while the graph is built.
  with tempfile.TemporaryDirectory() as folder, contextlib.suppress(_Built):
    # No case is read before a session asks for it.
    dataclasses.replace(job, model_dir=folder).fit(
        [], None, show, hooks=[stop])
  return stop.graph


def host_reads(job: tpu_job.TpuJob) -> list[HostReads]:
  """Lists what each host reads and hands out in a step."""
  specs = tpu_input.block_specs(job.config, job.partition).values()
  block = sum(spec.shape.num_elements() * spec.dtype.size for spec in specs)
  hosts = []
  for host, device in enumerate(job.system.host_devices()):
    replicas = tpu_input.host_replicas(job.system.assignment, host)
    rows = tpu_input.HostBlocks(job.config, job.partition, replicas).rows
    hosts.append(HostReads(device, replicas, rows, block * len(replicas)))
  return hosts


def summary(program: Program) -> str:
  """Describes a built job in lines for its user."""
  job = program.job
  system, training = job.system, job.config.training
  volumes = 'volumes' if job.config.network.dimensions == 3 else 'slices'
  shape = 'x'.join(map(str, system.topology.mesh_shape.tolist()))
  lines = [
      f'TPU: {system.cores} cores on {system.hosts} host(s), topology '
      f'{shape}'
      + (' (made up)' if system.is_made else f', {system.master}'),
      f'Mesh: {job.partition.mesh_shape_string()}, layout '
      f'{job.partition.layout_string()}; one block, one program, each core',
      *(f'Block: {name} {"x".join(map(str, spec.shape))} {spec.dtype.name}'
        for name, spec in tpu_input.block_specs(
            job.config, job.partition).items()),
      f'Batch: {training.batch_size} {volumes}, which TPUEstimator counts as '
      f'{job.cases_per_block * system.cores} (those of every block)',
      f'Loop: {job.steps_per_run} steps on the device, then the hosts look']
  lines += [
      f'Input: {_input_of(job)}',
      *(_host_line(host, training.batch_size, volumes)
        for host in program.hosts)]
  lines += _variable_lines(program.graph)
  for kind, total in collectives.totals(program.collectives).items():
    lines.append(
        f'Collectives of a step, {kind}: {total["count"]}; the busiest core '
        f'receives {plan_table.size(total["received"])}')
  return '\n'.join(lines)


def _input_of(job):
  if job.files is not None:
    return (f'block files of {job.files.folder}, {len(job.files)} cases; a '
            'host reads the blocks of its own cores')
  return ('whole cases, read and cut by this process; that takes a TPU whose '
          'only host it runs on, else --block_dir')


def _host_line(host: HostReads, batch_size: int, volumes: str) -> str:
  return (f'Host {host.device}: feeds replicas {_ranges(host.replicas)}; reads '
          f'{len(host.rows)} of {batch_size} {volumes} of each batch, hands '
          f'out {plan_table.size(host.bytes)}')


def _ranges(numbers: Sequence[int]) -> str:
  """Writes [0, 1, 2, 6] as 0-2, 6; the order is kept."""
  runs: list[list[int]] = []
  for number in numbers:
    if runs and number == runs[-1][-1] + 1:
      runs[-1].append(number)
    else:
      runs.append([number])
  return ', '.join(str(run[0]) if len(run) == 1 else f'{run[0]}-{run[-1]}'
                   for run in runs)


def _variable_lines(graph):
  sizes: dict[str, list[int]] = {}
  for variable in graph.get_collection(
      tf.compat.v1.GraphKeys.GLOBAL_VARIABLES):
    if variable.device and variable.dtype == tf.float32:
      sizes.setdefault(variable.device, []).append(
          math.prod(variable.shape) * variable.dtype.size)
  return [f'Host {device}: keeps {len(counts)} float32 variables, '
          f'{plan_table.size(sum(counts))}'
          for device, counts in sorted(sizes.items())]
