"""The paper's point at small scale: Dice against the input's resolution."""

import table_types

_FOLDER = 'unet_dice_by_resolution'
_CONFIG = 'configs/mtf_unet/hippocampus_resolution.py'
_TRAIN = 'scripts/mtf_unet/train.py'
# Of configs/mtf_unet/hippocampus_resolution.py, which a test holds them to.
SPACINGS_MM = (1.0, 1.5, 2.0, 3.0)
STEPS = 1500
_KINDS = {'whole': 'whole volumes', 'patches': 'patches of 16x24x16 voxels'}
_CLASSES = {'mean Dice': ('mean',),
            'Dice of label 1': ('classes', {'label': 1}, 'mean'),
            'Dice of label 2': ('classes', {'label': 2}, 'mean')}


def variants() -> list[tuple[float, str]]:
  """Returns (spacing in mm, kind); at 3 mm a patch is the whole volume."""
  return [(spacing, kind) for spacing in SPACINGS_MM for kind in _KINDS
          if (spacing, kind) != (SPACINGS_MM[-1], 'patches')]


def _name(spacing, kind):
  return f'{spacing:g}mm_{kind}'


def _scores(spacing, kind):
  return f'{_FOLDER}/{_name(spacing, kind)}/eval/metrics-{STEPS}.json'


def _reading(spacing, kind):
  # The patch of the coarsest resolution is the whole volume.
  kind = 'whole' if spacing == SPACINGS_MM[-1] else kind
  return table_types.Reading(_scores(spacing, kind), _CLASSES['mean Dice'])


def _jobs() -> list[table_types.SmallJob]:
  """Returns preparation, training and evaluation of every variant."""
  jobs = []
  for spacing, kind in variants():
    name = _name(spacing, kind)
    data = f'{_FOLDER}/data_{spacing:g}mm'
    folder = f'--model_dir={{runs}}/{_FOLDER}/{name}'
    config = f'--config={_CONFIG}:{name}'
    data_dir = f'--data_dir={{runs}}/{data}'
    if kind == 'whole':
      jobs.append(table_types.SmallJob(
          f'{data}/**/dataset_info.json',
          ('scripts/mtf_unet/prepare_volumes.py', config,
           '--input={hippocampus}', data_dir), 'seconds'))
    jobs.append(table_types.SmallJob(
        f'{_FOLDER}/{name}/model.ckpt-{STEPS}.index',
        (_TRAIN, config, '--mode=train', data_dir, folder)))
    jobs.append(table_types.SmallJob(
        _scores(spacing, kind), (_TRAIN, config, '--mode=eval', data_dir,
                                 folder)))
  return jobs


def dice_by_resolution() -> table_types.Table:
  """Dice of whole volumes and of patches at 1 to 3 mm."""
  rows = tuple(table_types.Row(
      f'{spacing:g} mm, {_KINDS[kind]}, {name}',
      ours=table_types.Reading(_scores(spacing, kind), path),
      setting=f'{_CONFIG}:{_name(spacing, kind)}, {STEPS} steps')
               for name, path in _CLASSES.items()
               for spacing, kind in variants())
  return table_types.Table(
      _FOLDER, 'UNet: Dice by resolution, whole volumes and patches',
      'Dice of 40 hippocampus volumes, on their own grid of 1 mm', rows,
      small_jobs=tuple(_jobs()),
      plot=table_types.LinePlot('voxel, mm', tuple(
          (title, tuple((spacing, _reading(spacing, kind))
                        for spacing in SPACINGS_MM))
          for kind, title in _KINDS.items())),
      notes=('A patch has as many voxels as the whole volume at 3 mm. At each '
             'resolution a step sees the same number of voxels of whole '
             'volumes as of patches; patches are joined with Gaussian weights, '
             'half overlapping. One seed each.',
             'The paper has LiTS at 64^3 to 512^3; its table was not '
             'available.'))
