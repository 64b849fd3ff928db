"""The three systems on real input that the dependencies ship (make demo).

  python scripts/demo.py --output_dir=runs/demo

1. UNet: brain MRI (the ICBM 152 template in nilearn) is prepared, trained on
   its back part over a mesh of four virtual devices, and tested on its front
   part, beside two intensity thresholds fitted on the same training voxels.
2. LAMB: full-batch training on scikit-learn's handwritten digits, LAMB against
   Adam and momentum.
3. Loop filter: photographs in scikit-image, coded by x265 at four QPs; the
   shipped integer filter beside x265's own filters.

Every step is the command that a user would type, and is printed as such.
"""

import json
import pathlib
import shutil
import subprocess
import sys
import time

from absl import app
from absl import flags
from skimage import data
from skimage import io

from cnn_loopfilter import pretrained
from mtf_unet import brain_template
from mtf_unet import metrics
from mtf_unet import volumes

_OUTPUT_DIR = flags.DEFINE_string('output_dir', 'runs/demo',
                                  'Folder for everything that is made.')
_STEPS = flags.DEFINE_integer('steps', None,
                              'Training steps of the UNet, if not its own.')

_SCRIPTS = pathlib.Path(__file__).parent
_CONFIG = _SCRIPTS.parent / 'configs/mtf_unet/brain_template.py'
_FILTER_CONFIG = _SCRIPTS.parent / 'configs/cnn_loopfilter/prepare.py'
_PHOTOGRAPHS = ('astronaut', 'coffee', 'chelsea', 'rocket')
_CASES = {brain_template.TEST_CASE: 'front part',
          brain_template.DEGRADED_CASE: 'with noise and bias field'}


def run_script(script: str, *arguments: str) -> None:
  """Runs one of the project's scripts, showing the command."""
  command = [sys.executable, str(_SCRIPTS / script), *arguments]
  print('\n$ python', *command[1:], flush=True)
  finished = subprocess.run(command, check=False)
  if finished.returncode:
    sys.exit(f'error: {script} ended with status {finished.returncode}')


def threshold_scores(raw: pathlib.Path) -> dict[str, list[float]]:
  """Scores two intensity thresholds fitted on the training cases."""
  image = lambda name: volumes.read(raw / f'imagesTr/{name}.nii.gz').array
  label = lambda name: volumes.read_label(
      raw / f'labelsTr/{name}.nii.gz', brain_template.NUM_CLASSES).array
  names = brain_template.TRAINING_CASES
  thresholds = brain_template.fit_thresholds(
      [image(name) for name in names], [label(name) for name in names])
  return {name: list(metrics.dice_per_class(
      brain_template.apply_thresholds(image(name), thresholds), label(name),
      brain_template.NUM_CLASSES)[1:]) for name in _CASES}


def segment_brain(folder: pathlib.Path) -> None:
  """Prepares, trains, evaluates and predicts; prints the Dice table."""
  raw, data, model = (folder / name for name in ('raw', 'prepared', 'model'))
  brain_template.write_folder(raw)
  config = f'--config={_CONFIG}'
  run_script('mtf_unet/prepare_volumes.py', config, f'--input={raw}',
             f'--data_dir={data}')
  job = [config, f'--data_dir={data}', f'--model_dir={model}']
  if _STEPS.value:
    job.append(f'--config.training.steps={_STEPS.value}')
  run_script('mtf_unet/train.py', *job, '--mode=train')
  run_script('mtf_unet/train.py', *job, '--mode=eval')
  test_scan = raw / f'imagesTr/{brain_template.TEST_CASE}.nii.gz'
  run_script('mtf_unet/train.py', *job, '--mode=predict',
             f'--input={test_scan}', f'--output={folder / "prediction"}')
  print_scores(model, threshold_scores(raw))
  print(f'Segmentation  {folder}/prediction/{brain_template.TEST_CASE}.nii.gz'
        f'\nPicture       {folder}/prediction/{brain_template.TEST_CASE}.png'
        f'\nEvent files   {model}  (tensorboard --logdir {model})')


def print_scores(model: pathlib.Path, thresholds: dict[str, list[float]]
                 ) -> None:
  """Prints the network's Dice beside the thresholds'."""
  newest = max((model / 'eval').glob('metrics-*.json'),
               key=lambda path: path.stat().st_mtime)
  cases = {case['name']: case['dice']
           for case in json.loads(newest.read_text())['cases']}
  print(f'\n{"Dice":42}{"grey":>8}{"white":>8}')
  for name, title in _CASES.items():
    for method, dice in (('network', cases[name]),
                         ('two thresholds', thresholds[name])):
      print(f'{title + ", " + method:42}{dice[0]:8.3f}{dice[1]:8.3f}')


def filter_photographs(folder: pathlib.Path) -> None:
  """Codes photographs and measures the shipped filter on them."""
  for name in _PHOTOGRAPHS:
    photograph = getattr(data, name)()
    # 4:2:0 halves both sides.
    height, width = (n // 2 * 2 for n in photograph.shape[:2])
    (folder / 'photographs').mkdir(parents=True, exist_ok=True)
    io.imsave(folder / f'photographs/{name}.png', photograph[:height, :width])
  run_script('cnn_loopfilter/evaluate.py', f'--config={_FILTER_CONFIG}',
             f'--input={folder / "photographs"}',
             f'--filter=CNN={pretrained.folder()}',
             f'--output={folder / "results"}')
  print(f'Curves, crops  {folder}/results/pictures')


def main(_) -> None:
  """Runs the demo from the beginning."""
  start = time.monotonic()
  folder = pathlib.Path(_OUTPUT_DIR.value)
  # A demo shows a whole run; what an earlier one left would be resumed.
  shutil.rmtree(folder / 'unet', ignore_errors=True)
  segment_brain(folder / 'unet')
  run_script('lamb/demo_digits.py', f'--output_dir={folder / "lamb"}')
  filter_photographs(folder / 'loopfilter')
  print(f'\nThe demo took {time.monotonic() - start:.0f} s.')


if __name__ == '__main__':
  app.run(main)
