"""TensorFlow's errors in one line."""


def reason(error: BaseException) -> str:
  """Returns what happened, without the page of advice around it.

  TensorFlow wraps a kernel's message into longer ones, each raised while the
  one before was handled; the innermost is the kernel's own.

  Args:
    error: caught; of TensorFlow or Python.
  """
  while error.__context__ is not None:
    error = error.__context__
  message = str(getattr(error, 'message', error)).strip()
  line = message.splitlines()[0] if message else type(error).__name__
  return line.partition(' [[')[0]
