"""Variables, gradients and options that the tests of all faces share."""

import numpy as np

# Every option of LAMB once, and the combinations that interact.
LAMB_OPTIONS = {
    'defaults': {},
    'no_decay': {'weight_decay': 0.0},
    'no_bias_correction': {'bias_correction': False},
    'betas_and_epsilon': {'beta_1': 0.5, 'beta_2': 0.9, 'epsilon': 1e-3},
    'beta_1_zero': {'beta_1': 0.0},
    'epsilon_zero': {'epsilon': 0.0},
    'strong_decay': {'weight_decay': 1.5},
    'l1': {'norm': 'l1'},
    'linf': {'norm': 'linf'},
    'phi': {'phi_min': 0.5, 'phi_max': 2.0},
    'v1': {'max_trust_ratio': 0.01},
    'n_lamb': {'nesterov': 'first'},
    'nn_lamb': {'nesterov': 'both'},
    'nn_lamb_no_bias_correction': {
        'nesterov': 'both', 'bias_correction': False},
}

LARS_OPTIONS = {
    'defaults': {},
    'no_decay': {'weight_decay': 0.0},
    'linf_phi': {'norm': 'linf', 'phi_min': 0.5, 'phi_max': 2.0},
    'trust_coefficient': {'trust_coefficient': 0.1, 'weight_decay': 1e-3},
}

# name: (shape, scale of the weights). `bias` is excluded, `zero` starts at 0.
VARIABLES = {
    'layer/kernel': ((7, 5), 0.3),
    'layer/bias': ((5,), 0.1),
    'other/kernel': ((3, 2, 4), 20.0),
    'other/zero': ((6,), 0.0),
}
EXCLUSIONS = ['bias']


def weights(dtype=np.float32):
  """Returns the initial value of each variable, by name."""
  rng = np.random.default_rng(1)
  return {name: (rng.standard_normal(shape) * scale).astype(dtype)
          for name, (shape, scale) in VARIABLES.items()}


def gradients(steps, dtype=np.float32):
  """Returns `steps` dicts of gradients whose scale varies by step."""
  rng = np.random.default_rng(2)
  return [
      {name: (rng.standard_normal(shape) * 10.0 ** rng.integers(-2, 2)
              ).astype(dtype)
       for name, (shape, _) in VARIABLES.items()} for _ in range(steps)]


def expected(rule, steps, learning_rate, options, dtype=np.float32):
  """Returns the reference's weights after `steps`, by name."""
  start, stream = weights(dtype), gradients(steps, dtype)
  return {
      name: rule(start[name], [each[name] for each in stream], learning_rate,
                 decays='bias' not in name, adapts='bias' not in name,
                 **options)[-1]
      for name in VARIABLES}
