"""The LAMB optimizer (arXiv:1904.00962), for Keras and TPUEstimator jobs.

    from lamb import LAMB
    model.compile(LAMB(0.001, exclude_from_weight_decay=['bias']), loss)

`LAMB` and `LARS` are made for the Keras in use when they are first asked for.
Back ends are imported by name: `lamb.estimator`, `lamb.mesh`.
"""

from lamb.param_filter import BERT_EXCLUSIONS
from lamb.param_filter import RESNET_EXCLUSIONS

__all__ = ['BERT_EXCLUSIONS', 'LAMB', 'LARS', 'RESNET_EXCLUSIONS']


def __getattr__(name):
  """Imports the optimizers late, so that no framework is needed before."""
  if name in ('LAMB', 'LARS'):
    from lamb import keras_face
    return getattr(keras_face.module(), name)
  raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
