"""All tables, by name."""

import bert_tables
import image_tables
import loopfilter_gain_tables
import loopfilter_tables
import recipe_tables
import scaling_table
import table_types
import unet_resolution_tables
import unet_tables

# What the flags of reproduce_tables.py name.
INPUTS = {
    'text': 'Text to train BERT-Tiny on: one sentence per line, a blank line '
            'between documents; gzipped or not.',
    'eval_text': 'Held-out text of the same form.',
    'vocab_file': 'WordPiece vocabulary of BERT (vocab.txt).',
    'mnist': 'Folder with the four idx files of MNIST.',
    'tfds': 'Folder of tensorflow-datasets, with cifar10 or to load it into.',
    'hippocampus': 'Folder of the Decathlon\'s Task04 (hippocampus MR).',
    'pictures': 'Pictures to measure loop filters on.',
    'clips': 'Folder of video clips to measure loop filters on.',
    'training_pictures': 'Pictures to train loop filters on, others than '
                         '--pictures.',
}


def tables() -> dict[str, table_types.Table]:
  """Returns every table and headline of the three papers, in order."""
  found = (
      bert_tables.f1_by_batch(), bert_tables.adamw_grid(),
      bert_tables.lars_against_lamb(), bert_tables.loss_64k(),
      scaling_table.batch_scaling(), recipe_tables.recipes(),
      image_tables.resnet50(), image_tables.davidnet(),
      image_tables.mnist_1024(), image_tables.mnist_50000(),
      image_tables.mnist_full_batch(), unet_tables.resolution(),
      unet_tables.overhead(), unet_tables.dice(),
      unet_resolution_tables.dice_by_resolution(),
      loopfilter_tables.bd_rate(), loopfilter_tables.compression(),
      loopfilter_gain_tables.by_work(), loopfilter_gain_tables.by_codec(),
      loopfilter_gain_tables.on_video())
  return {table.name: table for table in found}
