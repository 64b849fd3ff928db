"""The same trajectory as optax.lamb, where the rules agree."""

import numpy as np
import pytest

from lamb import hyperparameters
from lamb import update_rule
from tests.lamb import problems
from tests.lamb import reference

optax = pytest.importorskip('optax')


@pytest.mark.parametrize('weight_decay', [0.0, 0.1])
def test_lamb_follows_optax(weight_decay):
  name, steps = 'layer/kernel', 20
  stream = [each[name] for each in problems.gradients(steps)]
  start = problems.weights()[name]
  optimizer = optax.lamb(0.01, eps=1e-6, weight_decay=weight_decay)
  theirs, state = start, optimizer.init(start)
  settings = hyperparameters.LambHyperparameters(weight_decay=weight_decay)
  ours = np.float64(start)
  m, v = np.zeros_like(ours), np.zeros_like(ours)
  for t, gradient in enumerate(stream, start=1):
    updates, state = optimizer.update(gradient, state, theirs)
    theirs = optax.apply_updates(theirs, updates)
    decrement, m, v = update_rule.lamb_update(
        ours, np.float64(gradient), m, v, float(t), 0.01, settings,
        decays=True, adapts=True, ops=np)
    ours = ours - decrement
  assert reference.error(np.asarray(theirs), ours) < 1e-5
