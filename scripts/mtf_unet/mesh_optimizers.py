"""The optimizers of mtf_unet's scripts: its own, and LAMB from next door."""

from mtf_unet import optimizers


def _lamb(learning_rate, config, step):
  """Builds LAMB; only where it is asked for is its package needed."""
  from lamb import mesh as lamb_mesh
  return lamb_mesh.LambOptimizer(
      learning_rate, weight_decay=config.weight_decay, global_step=step)


FACTORIES = {**optimizers.BUILT_IN, 'lamb': _lamb}
