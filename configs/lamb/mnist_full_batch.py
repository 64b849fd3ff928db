"""MNIST in 35 steps of all 60000 images, LeNet (arXiv:1904.00962, appendix).

    python scripts/lamb/train_mnist.py \
        --config=configs/lamb/mnist_full_batch.py --output_dir=runs/mnist

`--config=configs/lamb/mnist_full_batch.py:lamb` runs one optimizer; names are
divided by commas, and without any LAMB, LARS and momentum run one after the
other. Ten minutes each on two CPU cores, 175 TFLOP; four with
`--config.activation_dtype=bfloat16` where the processor multiplies that.

Expected test accuracy, the best of the authors' logs: LAMB .9887 (rate .11,
warmup 7), LARS .9727 (22, 9), momentum .9244 (.11, 12). Their decay, clipping
and the 0.4 dropout are theirs for batch 1024; Adam's and AdamW's rates are
ours. The power of the decay of the rate was chosen between .5 and 1 for each
of the three on training images left out (12000 or 4000 trained on).
"""

import ml_collections

# name: (learning rate, warmup steps, power of the decay, weight decay, the
# authors' accuracy)
_OPTIMIZERS = {
    'lamb': (0.11, 7, 1.0, 0.01, 0.9887),
    'lars': (22.0, 9, 0.5, 1e-4, 0.9727),
    'momentum': (0.11, 12, 0.5, 0.0, 0.9244),
    'adam': (0.003, 7, 0.5, 0.0, None),
    'adamw': (0.003, 7, 0.5, 0.01, None),
}


def get_config(optimizers: str = 'lamb,lars,momentum'):
  """Returns the experiment's configuration.

  Args:
    optimizers: Names of the optimizers to run, divided by commas.
  """
  config = ml_collections.ConfigDict()
  config.optimizers = tuple(optimizers.split(','))
  for name, (rate, warmup, power, decay, published) in _OPTIMIZERS.items():
    config[name] = ml_collections.ConfigDict({
        'learning_rate': rate,  # peak
        'warmup_steps': warmup,
        'power': power,  # of the polynomial decay to 0
        'weight_decay': decay,
        'clip_norm': 1.0,  # global norm of the gradient; 0 for no clipping
        'bias_correction': False,  # of LAMB; the authors' code has none
        'published': published if published else 0.0,  # test accuracy
    })
  config.steps = 35
  config.batch_size = 0  # images in a step; 0 for all
  config.train_images = 60000  # the first so many
  config.slice_size = 500  # images in memory at a time
  config.dropout = 0.4  # share of hidden units
  config.activation_dtype = 'float32'  # or bfloat16, of all but the last layer
  config.evaluate_every = 5  # steps
  config.save_every = 1  # steps
  config.seed = 0  # of weights and dropout
  return config
