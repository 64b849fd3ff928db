"""Runs scripts one after the other without importing TensorFlow each time.

Each line of standard input is a JSON list, a script and its arguments. A forked
child, in which no flag is parsed and no session open yet, runs it; the answer
is one JSON line with its exit status and its output and errors together.
"""

import json
import os
import pathlib
import runpy
import sys
import tempfile
import traceback

_ROOT = pathlib.Path(__file__).parents[2]


def _child(script, arguments, stream):
  for descriptor in (1, 2):
    os.dup2(stream.fileno(), descriptor)
  status = 1
  try:
    sys.argv = [script, *arguments]
    # As Python does for the script that it is told to run.
    sys.path.insert(0, str(pathlib.Path(script).parent))
    runpy.run_path(script, run_name='__main__')
    status = 0
  except SystemExit as leave:
    status = leave.code or 0
  except BaseException:
    traceback.print_exc()
  finally:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _run(script, *arguments):
  with tempfile.TemporaryFile() as stream:
    child = os.fork()
    if not child:
      _child(str(_ROOT / script), arguments, stream)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    stream.seek(0)
    return [status, stream.read().decode()]


def main():
  """Answers until standard input ends."""
  os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '1')
  import tensorflow  # noqa: F401
  for line in sys.stdin:
    print(json.dumps(_run(*json.loads(line))), flush=True)


if __name__ == '__main__':
  main()
