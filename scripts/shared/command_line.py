"""What the scripts share: the --config flag, and mistakes told in one line."""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import os
import sys
import typing

from absl import app
from absl import flags
from absl import logging
import ml_collections
from ml_collections import config_flags

from cnn_loopfilter import errors as cnn_loopfilter_errors
from lamb import errors as lamb_errors
from mtf_unet import errors as mtf_unet_errors

_INPUT_ERRORS = (mtf_unet_errors.InputError, lamb_errors.InputError,
                 cnn_loopfilter_errors.InputError)


def define_config(config_class: type | None = None) -> flags.FlagHolder:
  """Defines --config=FILE and --config.KEY=VALUE.

  Args:
    config_class: frozen dataclass whose nested keys can be set even where the
      file leaves them out; None: the file names them all.
  """
  holder = config_flags.DEFINE_config_file(
      'config', None, 'The experiment.', lock_config=config_class is None,
      accept_new_attributes=config_class is not None)
  flag = flags.FLAGS['config']
  flag.parser = _ConfigParser(flag.parser, config_class)
  flags.mark_flag_as_required('config')
  return holder


class _ConfigParser(flags.ArgumentParser):
  """Lets keys be set that the file leaves at their defaults."""

  def __init__(self, file_parser, config_class):
    self._file_parser = file_parser
    self._config_class = config_class

  def parse(self, path):
    # `file.py:argument` hands the argument to get_config.
    if not os.path.isfile(path.split(':')[0]):
      raise ValueError('no such file, expected a file of configs/')
    config = self._parsed(path)
    if self._config_class is not None:
      _add_groups(config, self._config_class)
    return config

  def _parsed(self, path):
    try:
      return self._file_parser.parse(path)
    except _INPUT_ERRORS as error:
      # The parser puts a traceback around what get_config says.
      raise error.__context__ from None


def _add_groups(config, cls):
  for name, hint in typing.get_type_hints(cls).items():
    if dataclasses.is_dataclass(hint):
      if name not in config:
        config[name] = ml_collections.ConfigDict()
      if isinstance(config[name], ml_collections.ConfigDict):
        _add_groups(config[name], hint)


def run(main: Callable[..., None], arguments: Sequence[str] = (), *,
        finalize: bool = True) -> None:
  """Parses the flags, calls `main` and ends the program.

  A mistake in flags, config or files ends the program with status 1 and one
  line on standard error that begins with `error:`; so does Ctrl-C.

  Args:
    main: takes the words beside the flags, one for each of `arguments`.
    arguments: what those words are; as a rule there are none.
    finalize: whether Python takes itself down first. Not where a training may
      leave threads of TensorFlow behind that call Python, as an input pipeline
      does: one that calls it meanwhile aborts the process.
  """
  # What is for the user is printed; libraries speak of their insides.
  app.call_after_init(lambda: logging.set_verbosity(logging.ERROR))
  try:
    app.run(lambda argv: _told(_call, main, arguments, argv),
            flags_parser=_parse)
  except SystemExit as leave:
    if finalize or isinstance(leave.code, str):
      raise
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(leave.code or 0)


def _call(main, arguments, argv):
  words = argv[1:]
  if len(words) > len(arguments):
    raise flags.Error(f'{words[len(arguments)]}: unexpected argument, expected '
                      '--flag=value')
  if len(words) < len(arguments):
    raise flags.Error(f'got {len(words)} arguments, expected '
                      f'{" ".join(arguments)}')
  main(*words)


def _told(function, *arguments):
  try:
    return function(*arguments)
  except (*_INPUT_ERRORS, flags.Error, OSError) as error:
    message = str(error)
  except KeyboardInterrupt:
    message = 'stopped'
  print('error:', ' '.join(message.split()), file=sys.stderr)
  return sys.exit(1)


def _parse(argv: Sequence[str]) -> list[str]:
  return _told(_parse_or_raise, argv)


def _parse_or_raise(argv):
  try:
    return flags.FLAGS(argv)
  except (flags.Error, OSError):
    raise
  except (AttributeError, KeyError, TypeError, ValueError,
          SyntaxError) as error:
    # A mistake in the config file, or a key below one that is no group.
    reason = error.args[0] if error.args else type(error).__name__
    raise flags.Error(f'--config: {reason}') from error
