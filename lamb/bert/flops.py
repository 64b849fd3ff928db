"""Counts the products of a BERT network."""

from lamb.bert import config as config_lib


def training_flops(config: config_lib.BertConfig, sequence_length: int,
                   max_predictions: int) -> int:
  """Returns the operations of one example's step, forward and backward.

  Only matrix products, two operations for a multiply-add; the backward pass
  takes twice the forward's.

  Args:
    config: Sizes.
    sequence_length: Tokens of the example.
    max_predictions: Masked positions of the example.
  """
  hidden, length = config.hidden_size, sequence_length
  layer = length * hidden * (4 * hidden + 2 * config.intermediate_size)
  attention = 2 * length * length * hidden
  head = max_predictions * hidden * (hidden + config.vocab_size)
  pooler = hidden * (hidden + 2)
  forward = config.num_hidden_layers * (layer + attention) + head + pooler
  return 3 * 2 * forward
