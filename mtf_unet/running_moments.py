"""Mean and variance of what comes in parts, joined by Chan's formula.

With n numbers of mean m and sum of squared differences q = sum (x - m)^2 in
each of the parts a and b, and d = m_b - m_a (Chan, Golub, LeVeque 1979),
  m = m_a + d n_b / n,  q = q_a + q_b + d^2 n_a n_b / n,  n = n_a + n_b.
Only differences of means are squared, so nothing is lost where the mean is
large beside the deviation, as it is in E[x^2] - E[x]^2. All in float64.
"""

import numpy as np


class RunningMoments:
  """Statistics by channel of everything that was added.

  Args:
    channels: how many.
  """

  def __init__(self, channels: int):
    self._count = 0
    self._mean = np.zeros(channels)
    self._squares = np.zeros(channels)

  def add(self, count: int, mean: np.ndarray, variance: np.ndarray) -> None:
    """Adds a part.

    Args:
      count: numbers in each channel of it, 1 or more.
      mean: [channels].
      variance: [channels], unbiased (divided by count - 1); any finite number
        where count is 1.
    """
    total = self._count + count
    step = np.asarray(mean, np.float64) - self._mean
    self._squares += (np.asarray(variance, np.float64) * (count - 1)
                      + step ** 2 * (self._count * count / total))
    self._mean += step * (count / total)
    self._count = total

  @property
  def mean(self) -> np.ndarray:
    """Float64 [channels]; zeros as long as nothing was added."""
    return self._mean.copy()

  @property
  def variance(self) -> np.ndarray:
    """Float64 [channels], divided by the count; zeros without any."""
    return self._squares / max(self._count, 1)
