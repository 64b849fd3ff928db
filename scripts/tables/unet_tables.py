"""The 3D UNet of arXiv:1909.03108: size against memory and mesh, cost, Dice.

The body of the paper, with its tables of Dice, time and memory, was not
available; figures of the paper are those of its abstract, of the Google AI
blog of 28 February 2020 and of the reference code.
"""

import table_types

_PLAN = 'scripts/mtf_unet/plan.py'
_TRAIN = 'scripts/mtf_unet/train.py'
_SIZES = (128, 256, 512)
_CODE = 'reference code'
_BLOG = 'Google AI blog, 28 Feb 2020'
_GIB = 2.0 ** -30
_ONE_DEVICE = ('--config.mesh.mesh_shape=', '--config.mesh.layout=',
               '--config.training.batch_size=1')
_MEASURED = 'unet_resolution/measured.json'
_MEASURED_SIZES = (48, 64)
_MESHES = {128: ('rows:4;columns:4;cores:2', _CODE),
           512: ('16 rows x 16 columns, 2 cores', 'arXiv:1909.03108')}


def _plan(name: str, size: int, *options: str) -> table_types.SmallJob:
  file = f'unet_resolution/{name}.json'
  return table_types.SmallJob(
      file, (_PLAN, f'--config=configs/mtf_unet/lits_{size}.py', '--nolayers',
             *options, f'--output={{runs}}/{file}'), 'seconds')


def _reading(name: str, key: str, form: str = '.2f', scale: float = _GIB
             ) -> table_types.Reading:
  return table_types.Reading(f'unet_resolution/{name}.json', (key,), form,
                             scale)


def _rows_of(size: int) -> list[table_types.Row]:
  """Returns the lines of one resolution."""
  setting = f'configs/mtf_unet/lits_{size}.py, bfloat16, batch 32'
  mesh = table_types.Published(*_MESHES.get(size, ('', '')))
  alone = table_types.Published()
  if size == 512:
    alone = table_types.Published('at least 32', _BLOG)
  return [
      table_types.Row(f'{size}^3: mesh', mesh,
                      _reading(f'plan_{size}', 'mesh_shape'), setting),
      table_types.Row(f'{size}^3: memory of a core, GiB', ours=_reading(
          f'plan_{size}', 'device_bytes'), setting=f'{setting}, planned'),
      table_types.Row(
          f'{size}^3: received by a core in a step, GiB', ours=_reading(
              f'plan_{size}', 'received_bytes'),
          setting=f'{setting}, planned'),
      table_types.Row(
          f'{size}^3: smallest mesh for cores of 16 GiB', ours=_reading(
              f'fit_{size}', 'mesh_shape'), setting=f'{setting}, planned'),
      table_types.Row(
          f'{size}^3: one volume on one device, GiB', alone, _reading(
              f'alone_{size}', 'device_bytes'),
          'the same network, batch 1, not split, planned')]


def resolution() -> table_types.Table:
  """Resolution against the memory of a core and the mesh."""
  rows = [row for size in _SIZES for row in _rows_of(size)]
  jobs = [job for size in _SIZES for job in (
      _plan(f'plan_{size}', size), _plan(f'fit_{size}', size, '--device=v3',
                                         '--fit'),
      _plan(f'alone_{size}', size, *_ONE_DEVICE))]
  for size in _MEASURED_SIZES:
    for key, word in (('planned_mib', 'planned'), ('measured_mib', 'measured')):
      rows.append(table_types.Row(
          f'{size}^3, one process, MiB, {word}',
          ours=table_types.Reading(_MEASURED, ('rows', {'size': size}, key),
                                   '.0f'),
          setting='base 16, batch 1, float32, CPU'))
  jobs.append(table_types.SmallJob(
      _MEASURED, ('scripts/mtf_unet/measure_plan.py',
                  f'--sizes={",".join(map(str, _MEASURED_SIZES))}',
                  '--base=16', f'--output={{runs}}/{_MEASURED}')))
  return table_types.Table(
      'unet_resolution', 'UNet: resolution against memory of a core and mesh',
      'GiB, MiB or a mesh, as the row says', tuple(rows), _train_jobs(),
      tuple(jobs), notes=(
          'Planned numbers are of mtf_unet/memory_planner.py, not measured on '
          'a TPU; the last lines compare it with a process here.',))


def _train_jobs() -> tuple[table_types.PaperJob, ...]:
  return tuple(table_types.PaperJob(
      f'LiTS at {size}^3',
      ((_TRAIN, f'--config=configs/mtf_unet/lits_{size}.py',
        '--mode=train_and_eval', '--data_dir=PREPARED',
        f'--model_dir=MODELS/lits_{size}', '--use_tpu', '--tpu_name=TPU'),),
      f'LiTS, prepared by prepare_volumes.py; {cores} TPU cores',
      dry_run=('--dry_run', f'--tpu_cores={cores}')) for size, cores in (
          (128, 32), (256, 128), (512, 512)))


def dice() -> table_types.Table:
  """Dice of the trained network."""
  rows = [table_types.Row(f'LiTS at {size}^3, lesion Dice') for size in _SIZES]
  folder = 'unet_dice/hippocampus'
  scores = f'{folder}/model/eval/metrics-4000.json'
  keys = {'mean Dice': ('mean',),
          'Dice of label 1': ('classes', {'label': 1}, 'mean'),
          'Dice of label 2': ('classes', {'label': 2}, 'mean')}
  rows += [table_types.Row(
      f'hippocampus MR, 40 validation cases, {name}',
      ours=table_types.Reading(scores, path),
      setting='configs/mtf_unet/hippocampus.py, mesh 2x2x1')
           for name, path in keys.items()]
  config = '--config=configs/mtf_unet/hippocampus.py'
  data = f'{{runs}}/{folder}/data'
  model = f'--model_dir={{runs}}/{folder}/model'
  return table_types.Table(
      'unet_dice', 'UNet: Dice', 'Dice, 0 to 1', tuple(rows), _train_jobs(),
      (table_types.SmallJob(
          f'{folder}/data/**/dataset_info.json',
          ('scripts/mtf_unet/prepare_volumes.py', config,
           '--input={hippocampus}', f'--data_dir={data}')),
       table_types.SmallJob(
           f'{folder}/model/model.ckpt-4000.index',
           (_TRAIN, config, '--mode=train', f'--data_dir={data}', model),
           '43 minutes on two cores (docs/unet.md)'),
       table_types.SmallJob(
           scores,
           (_TRAIN, config, '--mode=eval', f'--data_dir={data}', model))),
      notes=('There is no LiTS here.',))


def overhead() -> table_types.Table:
  """Time of a split step beside a whole one."""
  file = 'unet_overhead/benchmark.json'
  claim = table_types.Published('no significant overhead', 'arXiv:1909.03108')
  rows = tuple(table_types.Row(
      f'{variant}, seconds of a step', claim if '2' in variant else (
          table_types.Published()),
      table_types.Reading(file, ('rows', {'variant': variant}, 'seconds'),
                          '.2f'), '64^3, base 16, batch 1, float32, CPU')
               for variant in ('mesh 1x1x1', 'mesh 2x2x1', 'mesh 2x2x2'))
  return table_types.Table(
      'unet_overhead', 'UNet: cost of splitting a volume',
      'Seconds of a training step', rows, _train_jobs(),
      (table_types.SmallJob(
          file, ('scripts/mtf_unet/benchmark.py', '--base=16', '--notrials',
                 '--output={runs}/unet_overhead')),),
      notes=('All blocks share one processor here, so equal times mean no '
             'overhead.',))
