"""Makes two virtual CPUs, before any test starts TensorFlow."""

import importlib.util

if importlib.util.find_spec('tensorflow') is not None:
  import tensorflow as tf

  cpus = tf.config.list_physical_devices('CPU')
  try:
    tf.config.set_logical_device_configuration(
        cpus[0], [tf.config.LogicalDeviceConfiguration()] * 2)
  except RuntimeError:
    pass  # Another package's tests have started it; the test will skip.
