"""Runs scripts/mtf_unet/train.py again and again without its slow imports.

Each line of standard input is a JSON list of arguments. A forked child, in
which no flag is parsed and no session open yet, runs the script with them; the
answer is one JSON line with its exit status, output and errors.
"""

import json
import os
import pathlib
import sys
import tempfile
import traceback

_SCRIPTS = pathlib.Path(__file__).parents[2] / 'scripts' / 'mtf_unet'


def _child(module, arguments, streams):
  for descriptor, stream in zip((1, 2), streams):
    os.dup2(stream.fileno(), descriptor)
  status = 1
  try:
    sys.argv = ['train.py', *arguments]
    module.command_line.run(module.main)
    status = 0
  except SystemExit as leave:
    status = leave.code or 0
  except BaseException:
    traceback.print_exc()
  finally:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _run(module, arguments):
  with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
    child = os.fork()
    if not child:
      _child(module, arguments, (out, err))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    texts = []
    for stream in (out, err):
      stream.seek(0)
      texts.append(stream.read().decode())
    return [status, *texts]


def main():
  """Answers until standard input ends."""
  sys.path.insert(0, str(_SCRIPTS))
  import train
  for line in sys.stdin:
    print(json.dumps(_run(train, json.loads(line))), flush=True)


if __name__ == '__main__':
  main()
