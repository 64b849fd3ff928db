"""The one exception that a user, not a programmer, is meant to read."""


class InputError(ValueError):
  """Reports bad input: an argument or file that the user can put right.

  The message is one line that names the argument, what came and what would be
  right. Scripts print it without a traceback and exit with status 1.
  """
