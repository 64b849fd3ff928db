"""MNIST in 30 steps of 50000 images, LeNet (arXiv:1904.00962, appendix).

    python scripts/lamb/train_mnist.py \
        --config=configs/lamb/mnist_50000.py --output_dir=runs/mnist_50000

`--config=configs/lamb/mnist_50000.py:lamb` runs one optimizer; without any,
LAMB and Adam run one after the other. Each step sees the first 50000 images;
which the authors took is not known.

Expected test accuracy, the authors' logs: LAMB .9855 (rate .1, warmup 6), Adam
.9812; Adam's rate and the rest are ours. 1.5 M images, 71 % of the full-batch
experiment's.
"""

import ml_collections

# name: (learning rate, weight decay, the authors' accuracy)
_OPTIMIZERS = {'lamb': (0.1, 0.01, 0.9855), 'adam': (0.003, 0.0, 0.9812)}


def get_config(optimizers: str = 'lamb,adam'):
  """Returns the experiment's configuration.

  Args:
    optimizers: Names of the optimizers to run, divided by commas.
  """
  config = ml_collections.ConfigDict()
  config.optimizers = tuple(optimizers.split(','))
  for name, (rate, decay, published) in _OPTIMIZERS.items():
    config[name] = ml_collections.ConfigDict({
        'learning_rate': rate,  # peak
        'warmup_steps': 6,
        'power': 1.0,  # of the polynomial decay to 0
        'weight_decay': decay,
        'clip_norm': 1.0,  # global norm of the gradient; 0 for no clipping
        'bias_correction': False,  # of LAMB; the authors' code has none
        'published': published,  # test accuracy
    })
  config.steps = 30
  config.batch_size = 0  # images in a step; 0 for all
  config.train_images = 50000  # the first so many
  config.slice_size = 500  # images in memory at a time
  config.dropout = 0.4  # share of hidden units
  config.activation_dtype = 'float32'  # or bfloat16, of all but the last layer
  config.evaluate_every = 5  # steps
  config.save_every = 1  # steps
  config.seed = 0  # of weights and dropout
  return config
