"""LAMB and LARS in float64 NumPy, written from the algorithm boxes.

Nothing is imported from `lamb`, so that a mistake there cannot hide here.
"""

import numpy as np

NORMS = {
    'l1': lambda x: np.abs(x).sum(),
    'l2': lambda x: np.sqrt((x ** 2).sum()),
    'linf': lambda x: np.abs(x).max(),
}


def ratio_of(weights, direction, options):
  """Returns phi(||w||) / ||r||, 1 where either norm is 0."""
  norm = NORMS[options.get('norm', 'l2')]
  w, r = norm(weights), norm(direction)
  ratio = 1.0
  if w != 0 and r != 0:
    phi = max(w, options.get('phi_min', 0.0))
    if options.get('phi_max') is not None:
      phi = min(phi, options['phi_max'])
    ratio = phi / r
  if options.get('max_trust_ratio') is not None:
    ratio = min(ratio, options['max_trust_ratio'])
  return ratio


def lamb(weights, gradients, learning_rate, *, decays=True, adapts=True,
         **options):
  """Runs LAMB on one variable; returns the weights after each gradient."""
  b1, b2 = options.get('beta_1', 0.9), options.get('beta_2', 0.999)
  epsilon = options.get('epsilon', 1e-6)
  decay = options.get('weight_decay', 0.01) if decays else 0.0
  corrects = options.get('bias_correction', True)
  nesterov = options.get('nesterov', 'none')
  w = np.array(weights, np.float64)
  m, v = np.zeros_like(w), np.zeros_like(w)
  trajectory = []
  for t, gradient in enumerate(gradients, start=1):
    g = np.array(gradient, np.float64)
    m = b1 * m + (1 - b1) * g
    v = b2 * v + (1 - b2) * g ** 2

    def hat(moment, value, beta, looks_ahead, t=t):
      now = 1 - beta ** t if corrects else 1.0
      after = 1 - beta ** (t + 1) if corrects else 1.0
      if looks_ahead:
        return beta * moment / after + (1 - beta) * value / now
      return moment / now

    m_hat = hat(m, g, b1, nesterov != 'none')
    v_hat = hat(v, g ** 2, b2, nesterov == 'both')
    with np.errstate(invalid='ignore', divide='ignore'):
      r = m_hat / (np.sqrt(v_hat) + epsilon)
    r = np.where((epsilon == 0) & (v_hat == 0), 0.0, r) + decay * w
    ratio = ratio_of(w, r, options) if adapts else 1.0
    w = w - learning_rate * ratio * r
    trajectory.append(w)
  return trajectory


def lars(weights, gradients, learning_rate, *, decays=True, adapts=True,
         **options):
  """Runs LARS on one variable; returns the weights after each gradient."""
  b1 = options.get('beta_1', 0.9)
  decay = options.get('weight_decay', 0.01) if decays else 0.0
  eta = options.get('trust_coefficient')
  norm = NORMS[options.get('norm', 'l2')]
  w = np.array(weights, np.float64)
  m = np.zeros_like(w)
  trajectory = []
  for gradient in gradients:
    g = np.array(gradient, np.float64)
    if eta is None:
      m = b1 * m + (1 - b1) * (g + decay * w)
      ratio = ratio_of(w, m, options) if adapts else 1.0
      w = w - learning_rate * ratio * m
    else:
      ratio = 1.0
      if adapts and norm(w) > 0 and norm(g) > 0:
        ratio = eta * norm(w) / (norm(g) + decay * norm(w))
      m = b1 * m + learning_rate * ratio * (g + decay * w)
      w = w - m
    trajectory.append(w)
  return trajectory


def error(actual, expected):
  """Returns max |a - b| / max |b|, 0 for two zero arrays."""
  actual, expected = np.asarray(actual, np.float64), np.asarray(expected)
  largest = np.abs(expected).max()
  difference = np.abs(actual - expected).max()
  return difference / largest if largest else difference
