"""Makes two virtual CPUs, before any test starts TensorFlow."""

import contextlib
import importlib.util

if importlib.util.find_spec('tensorflow') is not None:
  import tensorflow as tf

  cpus = tf.config.list_physical_devices('CPU')
  # Too late if another package's tests have started it; the test then skips.
  with contextlib.suppress(RuntimeError):
    tf.config.set_logical_device_configuration(
        cpus[0], [tf.config.LogicalDeviceConfiguration()] * 2)
