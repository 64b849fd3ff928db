"""Throws damaged and forged files at every reader of the loop filter.

  python scripts/cnn_loopfilter/fuzz.py --cases=100000 --seed=0
  python scripts/cnn_loopfilter/fuzz.py --seed=0 --target=y4m --case=123

Each case has to end in an InputError or a right result: no other exception,
within a time limit and a memory limit. A case is made from seed, target and
its number alone; the second line runs one again. Files of failures are kept
in --failures. Exit status 1 if there was any.
"""

import collections
import contextlib
import pathlib
import random
import resource
import signal
import sys
import tempfile
import time
import traceback

sys.path.append(str(pathlib.Path(__file__).parents[1] / 'shared'))

from absl import flags
import command_line
import fuzz_targets
import item_progress

from cnn_loopfilter import errors

_CASES = flags.DEFINE_integer('cases', 1000, 'Cases of all targets together.',
                              lower_bound=1)
_SEED = flags.DEFINE_integer('seed', 0, 'Makes other cases.')
_TARGET = flags.DEFINE_enum('target', None, tuple(fuzz_targets.TARGETS),
                            'This one alone.')
_CASE = flags.DEFINE_integer('case', None, 'This case of --target alone.',
                             lower_bound=0)
_FAILURES = flags.DEFINE_string('failures', 'fuzz_failures',
                                'Folder for what failed.')
_SECONDS = flags.DEFINE_integer(
    'seconds', 10, 'Processor time of a case in this process.', lower_bound=1)
_MEMORY = flags.DEFINE_integer(
    'memory_mb', 512, 'Memory of a case beyond what the program has already.',
    lower_bound=64)


class _Slow(Exception):
  """A case took longer than --seconds."""


def _numbered():
  """Returns (target, number) of all cases that were asked for."""
  if _CASE.value is not None and _TARGET.value is None:
    raise errors.InputError('--case: expected --target beside it')
  if _CASE.value is not None:
    return [(_TARGET.value, _CASE.value)]
  names = [_TARGET.value] if _TARGET.value else list(fuzz_targets.TARGETS)
  whole = sum(fuzz_targets.TARGETS[name].share for name in names)
  return [(name, number) for name in names for number in range(
      -(-_CASES.value * fuzz_targets.TARGETS[name].share // whole))]


@contextlib.contextmanager
def _limited():
  """Lets what asks for too much memory or time end in an exception."""
  with open('/proc/self/statm') as stream:
    taken = int(stream.read().split()[0]) * resource.getpagesize()
  soft, hard = resource.getrlimit(resource.RLIMIT_AS)
  resource.setrlimit(resource.RLIMIT_AS,
                     (taken + _MEMORY.value * 2 ** 20, hard))
  signal.setitimer(signal.ITIMER_PROF, _SECONDS.value)
  try:
    yield
  finally:
    signal.setitimer(signal.ITIMER_PROF, 0)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _too_slow(*_):
  raise _Slow(f'more than {_SECONDS.value} s')


def _run(name, number, corpus, folder):
  """Runs one case; returns 'accepted', 'refused' or what went wrong."""
  rng = random.Random(f'{_SEED.value} {name} {number}')
  target = fuzz_targets.TARGETS[name]
  # A program has its own limits; the sanitizers' shadow needs no memory.
  limits = contextlib.nullcontext() if target.needs_compiler else _limited()
  try:
    with limits:
      accepted = target.run(rng, corpus, folder)
    return 'accepted' if accepted else 'refused'
  except errors.InputError as error:
    return 'refused' if '\n' not in str(error) else repr(error)
  except Exception:  # What must not happen, of whatever kind it is.
    return traceback.format_exc()


def _keep(name, number, told, folder):
  """Keeps the files of a failure and what was told."""
  kept = pathlib.Path(_FAILURES.value) / f'{_SEED.value}_{name}_{number}'
  kept.mkdir(parents=True, exist_ok=True)
  for path in folder.iterdir():
    (kept / path.name).write_bytes(path.read_bytes())
  (kept / 'failure.txt').write_text(
      f'--seed={_SEED.value} --target={name} --case={number}\n{told}')
  print(f'failure: {kept}: {told.strip().splitlines()[-1]}', flush=True)


def _run_all(cases, corpus, work):
  """Runs the cases; returns counts by (target, outcome) and seconds."""
  counts, seconds = collections.Counter(), collections.Counter()
  show = item_progress.ItemProgress('case')
  for done, (name, number) in enumerate(cases, 1):
    target = fuzz_targets.TARGETS[name]
    if target.needs_compiler and corpus.decoder is None:
      counts[name, 'skipped'] += 1
      continue
    with tempfile.TemporaryDirectory(dir=work) as folder:
      start = time.monotonic()
      told = _run(name, number, corpus, pathlib.Path(folder))
      seconds[name] += time.monotonic() - start
      outcome = told if told in ('accepted', 'refused') else 'failures'
      if outcome == 'failures':
        _keep(name, number, told, pathlib.Path(folder))
    counts[name, outcome] += 1
    show(done, len(cases), name)
  return counts, seconds


def _report(counts, seconds):
  print('| target | cases | refused | accepted | failures | s |')
  print('|---|---:|---:|---:|---:|---:|')
  for name in dict.fromkeys(name for name, _ in counts):
    found = [counts[name, outcome]
             for outcome in ('refused', 'accepted', 'failures')]
    print(f'| {name} | {sum(found)} | '
          + ' | '.join(map(str, found)) + f' | {seconds[name]:.0f} |')
    if counts[name, 'skipped']:
      print(f'{name}: skipped, there is no C compiler')


def main() -> None:
  """Runs the cases and prints a table."""
  cases = _numbered()
  signal.signal(signal.SIGPROF, _too_slow)
  with tempfile.TemporaryDirectory() as work:
    corpus = fuzz_targets.make_corpus(
        pathlib.Path(work), with_decoder=any(
            fuzz_targets.TARGETS[name].needs_compiler for name, _ in cases))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    counts, seconds = _run_all(cases, corpus, work)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  _report(counts, seconds)
  print(f'Largest memory: {before / 1024:.0f} MiB before, '
        f'{after / 1024:.0f} MiB after')
  failures = sum(count for (_, outcome), count in counts.items()
                 if outcome == 'failures')
  if failures:
    raise errors.InputError(
        f'{failures} cases failed; their files are in {_FAILURES.value}')


if __name__ == '__main__':
  command_line.run(main)
