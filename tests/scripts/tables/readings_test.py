"""The tables find their numbers in what the packages' own writers leave."""

import importlib.util
import pathlib

import catalogue
import table_files
import unet_resolution_tables

from cnn_loopfilter import comparison
from cnn_loopfilter import evaluation
from cnn_loopfilter import results as loopfilter_results
from lamb.full_batch import results as mnist_results
from mtf_unet import config as unet_config
from mtf_unet import layout
from mtf_unet import memory_planner
from mtf_unet import plan_table
from mtf_unet import split_search
from mtf_unet import step_cost
from tests.scripts.tables import metrics_writer

_TABLES = catalogue.tables()
_CONFIGS = pathlib.Path(__file__).parents[3] / 'configs/mtf_unet'


def _cells(name, runs):
  table = _TABLES[name]
  return {row.name: own.text for row, own in zip(
      table.rows, table_files.measure(table, runs)) if own}


def test_bd_rates(tmp_path):
  rows = [evaluation.Row('average', '', 'CNN', 'all', (-9.0, -10.0, -11.25)),
          evaluation.Row('average', '', 'all', 'none', (-3.0, None, -7.5)),
          evaluation.Row('one', '', 'CNN', 'none', (1.0, 1.0, 1.0))]
  report = comparison.Report([comparison.Run('x265', [], rows)])
  metrics_writer.write(tmp_path / 'loopfilter_bd_rate/results.json',
                       loopfilter_results.to_json(report))
  assert _cells('loopfilter_bd_rate', tmp_path) == {
      'CNN against all of the codec\'s filters, Y': '-9.00',
      'CNN against all of the codec\'s filters, U': '-10.00',
      'CNN against all of the codec\'s filters, V': '-11.25',
      'the codec\'s filters against no filter, Y': '-3.00',
      'the codec\'s filters against no filter, V': '-7.50'}


def test_bd_rates_of_other_codecs(tmp_path):
  runs = [comparison.Run(codec, [], [evaluation.Row(
      'average', '', 'CNN', 'all', (value, value, value))])
          for codec, value in (('x265 medium', -1.0), ('x264 medium', -2.0),
                               ('SVT-AV1 preset 4', -3.0))]
  metrics_writer.write(
      tmp_path / 'loopfilter_codecs/results.json',
      loopfilter_results.to_json(comparison.Report(runs)))
  cells = _cells('loopfilter_codecs', tmp_path)
  assert [cells[f'{codec}, CNN, V'] for codec in ('x265', 'x264', 'SVT-AV1')
          ] == ['-1.00', '-2.00', '-3.00']


def test_mnist(tmp_path):
  folder = tmp_path / 'mnist_full_batch/lars'
  folder.mkdir(parents=True)
  mnist_results.write(folder, 'lars', {'published': 0.0},
                      {'accuracy': [[35, 0.97]], 'seconds': [1.0]},
                      metrics_writer.RUN)
  assert _cells('mnist_full_batch', tmp_path) == {'lars': '0.9700'}


def test_memory_plan(tmp_path):
  config = unet_config.Config(
      data=unet_config.DataConfig(size=(32, 32, 32)),
      training=unet_config.TrainingConfig(batch_size=2))
  partition = layout.partition(config.mesh)
  plan = memory_planner.plan(config, partition)
  content = plan_table.as_json(plan, step_cost.cost(config, partition))
  metrics_writer.write(tmp_path / 'unet_resolution/plan_128.json', content)
  cells = _cells('unet_resolution', tmp_path)
  assert cells['128^3: memory of a core, GiB'] == f'{plan.device / 2**30:.2f}'
  assert cells['128^3: mesh'] == split_search.partition_of(
      config).mesh_shape_string()


def test_measured_memory(tmp_path):
  rows = [{'size': size, 'planned_mib': size * 2.0, 'measured_mib': size * 1.0}
          for size in (48, 64)]
  metrics_writer.write(tmp_path / 'unet_resolution/measured.json',
                       {'rows': rows})
  assert _cells('unet_resolution', tmp_path) == {
      f'{size}^3, one process, MiB, {word}': str(size * factor)
      for size in (48, 64)
      for word, factor in (('planned', 2), ('measured', 1))}


def test_dice(tmp_path):
  metrics_writer.write(
      tmp_path / 'unet_dice/hippocampus/model/eval/metrics-4000.json',
      {'mean': 0.5, 'classes': [{'label': 1, 'mean': 0.25},
                                {'label': 2, 'mean': None}]})
  assert _cells('unet_dice', tmp_path) == {
      'hippocampus MR, 40 validation cases, mean Dice': '0.5000',
      'hippocampus MR, 40 validation cases, Dice of label 1': '0.2500'}


def test_dice_by_resolution(tmp_path):
  metrics_writer.write(
      tmp_path / 'unet_dice_by_resolution/1.5mm_whole/eval/metrics-1500.json',
      {'mean': 0.5, 'classes': []})
  assert _cells('unet_dice_by_resolution', tmp_path) == {
      '1.5 mm, whole volumes, mean Dice': '0.5000'}


def test_resolutions_are_the_configs():
  spec = importlib.util.spec_from_file_location(
      'hippocampus_resolution', _CONFIGS / 'hippocampus_resolution.py')
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  names = tuple(f'{spacing:g}mm_{kind}'
                for spacing, kind in unet_resolution_tables.variants())
  assert names == module.VARIANTS
  assert module.get_config().training.steps == unet_resolution_tables.STEPS
