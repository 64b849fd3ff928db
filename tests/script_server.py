"""Runs scripts as a user does, but without the seconds that imports take.

A process of its own imports once what many scripts import. For each call it is
forked, and the child, in which no flag is parsed and no session open yet, runs
the script.

    done = script_server.run('scripts/mtf_unet/plan.py', '--config=...')
    assert done.returncode == 0, done.stderr
"""

import contextlib
import functools
import importlib
import json
import os
import pathlib
import runpy
import signal
import subprocess
import sys
import tempfile
import traceback

ROOT = pathlib.Path(__file__).parents[1]
# What takes long to import, where it is installed; Mesh TensorFlow among it.
_SLOW_IMPORTS = ('tensorflow', 'mtf_unet.mtf_compat', 'ml_collections',
                 'nibabel', 'scipy.ndimage', 'matplotlib.pyplot', 'PIL.Image',
                 'av')
# Only what hangs takes so long, on however crowded a machine.
_LIMIT_S = 600


@functools.cache
def _server():
  # Without the tests' own settings of TensorFlow.
  kept = {name: value for name, value in os.environ.items()
          if not name.startswith('TF_')}
  return subprocess.Popen(
      [sys.executable, '-m', 'tests.script_server'], cwd=ROOT, text=True,
      stdin=subprocess.PIPE, stdout=subprocess.PIPE,
      env=kept | {'PYTHONPATH': str(ROOT)})


def run(script, *arguments, cwd=ROOT, env=None):
  """Runs a script to its end.

  Args:
    script: its path from the root of the repository.
    *arguments: of the command line.
    cwd: the folder in which it is started.
    env: environment variables to add; those that a library reads when it is
      imported come too late.

  Returns:
    subprocess.CompletedProcess with output and errors as text.
  """
  server = _server()
  call = {'script': str(ROOT / script), 'arguments': list(map(str, arguments)),
          'cwd': str(cwd), 'env': env or {}}
  server.stdin.write(json.dumps(call) + '\n')
  server.stdin.flush()
  status, out, err = json.loads(server.stdout.readline())
  return subprocess.CompletedProcess([script, *arguments], status, out, err)


def _child(streams, *, script, arguments, cwd, env):
  """Runs the script and ends the process with its exit status."""
  status = 1
  try:
    with open(os.devnull, 'rb') as nothing:
      for descriptor, stream in enumerate((nothing, *streams)):
        os.dup2(stream.fileno(), descriptor)
    signal.alarm(_LIMIT_S)
    os.chdir(cwd)
    os.environ.update(env)
    sys.argv = [script, *arguments]
    # As Python does for the script that it is told to run.
    sys.path[0] = str(pathlib.Path(script).parent)
    runpy.run_path(script, run_name='__main__')
    status = 0
  except SystemExit as leave:
    if isinstance(leave.code, str):
      print(leave.code, file=sys.stderr)
    else:
      status = leave.code or 0
  except BaseException:
    traceback.print_exc()
  finally:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _answer(call):
  with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
    child = os.fork()
    if not child:
      _child((out, err), **call)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    texts = []
    for stream in (out, err):
      stream.seek(0)
      texts.append(stream.read().decode())
    return [status, *texts]


def main():
  """Answers until standard input ends."""
  os.environ['TF_ENABLE_ONEDNN_OPTS'] = '1'
  os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'
  for name in _SLOW_IMPORTS:
    with contextlib.suppress(ModuleNotFoundError):
      importlib.import_module(name)
  for line in sys.stdin:
    print(json.dumps(_answer(json.loads(line))), flush=True)


if __name__ == '__main__':
  main()
