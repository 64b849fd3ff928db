"""MNIST with batch 1024 for 30 epochs, LeNet (arXiv:1904.00962, appendix).

    python scripts/lamb/train_mnist.py \
        --config=configs/lamb/mnist_1024.py --output_dir=runs/mnist_1024

`--config=configs/lamb/mnist_1024.py:lamb` runs one optimizer; names are divided
by commas, and without any LAMB, AdamW and momentum run one after the other.

Expected test accuracy, the authors' runs: LAMB .9934 to .9939 (rate .004,
warmup 1 epoch, power .5, decay .01, clipped to 1), AdamW .9935 to .9947,
momentum .9923 to .9935. The rates of AdamW and momentum are ours, not tuned.
1.8 M images in all, 86 % of the full-batch experiment's: nine minutes each on
two CPU cores, by its time for an image.
"""

import ml_collections

# name: (learning rate, weight decay, the authors' best accuracy)
_OPTIMIZERS = {
    'lamb': (0.004, 0.01, 0.9939),
    'adamw': (0.001, 0.01, 0.9947),
    'momentum': (0.05, 0.0, 0.9935),
}
_STEPS_OF_AN_EPOCH = 60000 // 1024


def get_config(optimizers: str = 'lamb,adamw,momentum'):
  """Returns the experiment's configuration.

  Args:
    optimizers: Names of the optimizers to run, divided by commas.
  """
  config = ml_collections.ConfigDict()
  config.optimizers = tuple(optimizers.split(','))
  for name, (rate, decay, published) in _OPTIMIZERS.items():
    config[name] = ml_collections.ConfigDict({
        'learning_rate': rate,  # peak
        'warmup_steps': _STEPS_OF_AN_EPOCH,
        'power': 0.5,  # of the polynomial decay to 0
        'weight_decay': decay,
        'clip_norm': 1.0,  # global norm of the gradient; 0 for no clipping
        'bias_correction': False,  # of LAMB; the authors' code has none
        'published': published,  # test accuracy
    })
  config.steps = 30 * _STEPS_OF_AN_EPOCH
  config.batch_size = 1024  # images in a step; 0 for all
  config.train_images = 60000  # the first so many
  config.slice_size = 1024  # images in memory at a time
  config.dropout = 0.4  # share of hidden units
  config.activation_dtype = 'float32'  # or bfloat16, of all but the last layer
  config.evaluate_every = 5 * _STEPS_OF_AN_EPOCH  # steps
  config.save_every = _STEPS_OF_AN_EPOCH  # steps
  config.seed = 0  # of weights, order and dropout
  return config
