"""ResNet-50, DavidNet and MNIST in arXiv:1904.00962."""

import table_types

_CLASSIFIER = 'scripts/lamb/train_image_classifier.py'
_MNIST = 'scripts/lamb/train_mnist.py'
_AUTHORS_LOG = 'the authors\' log'
_REPOSITORY = 'the group\'s PyTorch repository'
_TOP_1, _TOP_5 = 'top_1_accuracy', 'top_5_accuracy'
_DAVIDNET_STEPS = 2328
_BY_THE_IMAGE = ('on two quiet cores, by the full batch\'s time for an image; '
                 'not measured')


def _published(text: str, source: str) -> table_types.Published:
  return table_types.Published(text, source) if text else (
      table_types.Published())


def resnet50() -> table_types.Table:
  """ResNet-50 on ImageNet by batch."""
  rows = [
      table_types.Row('top-1, batch 32768', _published('0.76337',
                                                       _AUTHORS_LOG)),
      table_types.Row('top-5, batch 32768', _published('0.93018',
                                                       _AUTHORS_LOG))]
  rows += [table_types.Row(f'top-1, batch {batch}, PyTorch',
                           _published(text, _REPOSITORY))
           for batch, text in ((4096, '0.7714'), (8192, '0.7731'),
                               (16384, '0.7691'), (32768, '0.7671'))]
  jobs = [table_types.PaperJob(
      f'LAMB, batch {batch}',
      ((_CLASSIFIER, f'--config=configs/lamb/{config}',
        '--mode=train_and_eval', '--data_dir=TFDS',
        f'--model_dir=MODELS/resnet50_{batch}', '--use_tpu',
        '--tpu_name=TPU'),), 'ImageNet by tensorflow-datasets; a TPU')
          for batch, config in (
              (4096, 'resnet50.py:4096'), (8192, 'resnet50.py:8192'),
              (16384, 'resnet50.py:16384'), (32768, 'resnet50_32k.py'))]
  return table_types.Table(
      'resnet50', 'ResNet-50 on ImageNet, 90 epochs by LAMB, untuned',
      'Accuracy on the validation images', tuple(rows), tuple(jobs),
      notes=('There is no ImageNet here: nothing was trained.',))


def davidnet() -> table_types.Table:
  """DavidNet on CIFAR-10 by optimizer."""
  def command(name, data, model):
    return (_CLASSIFIER, f'--config=configs/lamb/davidnet.py:{name}',
            '--mode=train_and_eval', f'--data_dir={data}',
            f'--model_dir={model}')
  published = {'lamb': '0.940875', 'adamw': '', 'lars': '', 'momentum': ''}
  file = f'davidnet_cifar10/{{}}/eval/metrics-{_DAVIDNET_STEPS}.json'
  rows = [table_types.Row(
      name, _published(text, _AUTHORS_LOG),
      table_types.Reading(file.format(name), (_TOP_1,)),
      f'configs/lamb/davidnet.py:{name}, the paper\'s scale')
          for name, text in published.items()]
  rows += [table_types.Row('adam', _published('0.9267', _AUTHORS_LOG)),
           table_types.Row('adagrad', _published('0.9044', _AUTHORS_LOG))]
  return table_types.Table(
      'davidnet_cifar10', 'DavidNet on CIFAR-10, 24 epochs of batch 512',
      'Accuracy on the 10000 test images', tuple(rows),
      tuple(table_types.PaperJob(
          name, (command(name, 'TFDS', f'MODELS/davidnet_{name}'),),
          'CIFAR-10 by tensorflow-datasets; one accelerator')
            for name in published),
      tuple(table_types.SmallJob(
          file.format(name),
          command(name, '{tfds}', f'{{runs}}/davidnet_cifar10/{name}'),
          'not measured; 2.7 PFLOP (counted)')
            for name in published),
      notes=('The learning rates of lamb, lars and adamw are ours, not tuned; '
             'the authors\' were not available.',))


def _mnist(name: str, title: str, config: str, published: dict[str, str],
           time: str, *options: str) -> table_types.Table:
  """Makes a table of LeNet: one row and job for each optimizer."""
  def command(optimizer, data, output):
    return (_MNIST, f'--config=configs/lamb/{config}:{optimizer}',
            f'--data_dir={data}', f'--output_dir={output}', *options)
  setting = ' '.join([f'configs/lamb/{config}', *options])
  return table_types.Table(
      name, title, 'Accuracy on the 10000 test images',
      tuple(table_types.Row(
          optimizer, _published(text, _AUTHORS_LOG),
          table_types.Reading(f'{name}/{optimizer}/result.json',
                              ('accuracy',)),
          f'{setting}, the paper\'s scale')
            for optimizer, text in published.items()),
      tuple(table_types.PaperJob(
          optimizer, (command(optimizer, 'MNIST', 'MODELS/mnist'),),
          'one machine') for optimizer in published),
      tuple(table_types.SmallJob(
          f'{name}/{optimizer}/result.json',
          command(optimizer, '{mnist}', f'{{runs}}/{name}'), time)
            for optimizer in published))


def mnist_1024() -> table_types.Table:
  """LeNet, batch 1024, 30 epochs."""
  return _mnist(
      'mnist_batch_1024', 'LeNet on MNIST, 30 epochs of batch 1024',
      'mnist_1024.py',
      {'lamb': '.9939 .9935 .9939 .9939 .9934',
       'adamw': '.9938 .9935 .9947 .9940', 'momentum': '.9923 to .9935'},
      f'some 9 minutes {_BY_THE_IMAGE}')


def mnist_full_batch() -> table_types.Table:
  """LeNet, the full batch, 35 steps."""
  return _mnist(
      'mnist_full_batch', 'LeNet on MNIST, 35 steps of all 60000 images',
      'mnist_full_batch.py',
      {'lamb': '.9887', 'lars': '.9727', 'momentum': '.9244'},
      '4 minutes on two quiet cores that multiply bfloat16, more than 10 '
      'elsewhere (docs/lamb.md)', '--config.activation_dtype=bfloat16')


def mnist_50000() -> table_types.Table:
  """LeNet, batch 50000, 30 steps."""
  return _mnist(
      'mnist_batch_50000', 'LeNet on MNIST, 30 steps of 50000 images',
      'mnist_50000.py', {'lamb': '.9855', 'adam': '.9812'},
      f'some 7 minutes {_BY_THE_IMAGE}')
