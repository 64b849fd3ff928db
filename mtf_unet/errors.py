"""The one exception that a user, not a programmer, is meant to read."""


class InputError(ValueError):
  """Bad input: a file, key or value that the user can put right.

  The message is one line naming the file or key, what is wrong and what would
  be right. Scripts print it without a traceback and exit with status 1.
  """
