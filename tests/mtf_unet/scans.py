"""Small scans for the tests, written as users have them on disk."""

import gzip
import json
import struct

import nibabel
import numpy as np
import tensorflow as tf

SPACING_MM = (1.5, 2.0, 3.0)


def affine(axes=(0, 1, 2), signs=(1, 1, 1), spacing_mm=SPACING_MM):
  """Array axis i runs along world axis axes[i], in direction signs[i]."""
  matrix = np.zeros((4, 4))
  matrix[3, 3] = 1
  for i in range(3):
    matrix[axes[i], i] = signs[i] * spacing_mm[i]
  matrix[:3, 3] = (-20, 30, 5)
  return matrix


def write(path, array, matrix=None):
  path.parent.mkdir(parents=True, exist_ok=True)
  nibabel.save(nibabel.Nifti1Image(
      array, affine() if matrix is None else matrix), path)
  return path


def pair(seed, shape=(10, 12, 8), num_classes=3):
  """An image whose intensity follows its label, with noise."""
  rng = np.random.default_rng(seed)
  label = np.zeros(shape, np.uint8)
  for value in range(1, num_classes):
    start = rng.integers(1, 4, 3)
    label[tuple(slice(s, s + 4) for s in start)] = value
  image = 100 * label + rng.normal(0, 10, shape)
  return image.astype(np.float32), label


def decathlon(folder, count=4, with_description=True, **keywords):
  names = [f'case_{i:02d}.nii.gz' for i in range(count)]
  for i, name in enumerate(names):
    image, label = pair(i, **keywords)
    write(folder / 'imagesTr' / name, image)
    write(folder / 'labelsTr' / name, label)
  if with_description:
    (folder / 'dataset.json').write_text(json.dumps({'training': [
        {'image': f'./imagesTr/{name}', 'label': f'./labelsTr/{name}'}
        for name in names]}))
  return folder


def lits(folder, count=3):
  for i in range(count):
    image, label = pair(i)
    write(folder / f'volume-{i}.nii', image.astype(np.int16))
    write(folder / f'segmentation-{i}.nii.gz', label)
  return folder


def example(image, label):
  def cube(array):
    return tf.train.Feature(bytes_list=tf.train.BytesList(
        value=[array.astype('<f4').tobytes()]))
  return tf.train.Example(features=tf.train.Features(feature={
      'image/ct_image': cube(image), 'image/label': cube(label)}))


def records(path, count=3, resolution=6):
  path.parent.mkdir(parents=True, exist_ok=True)
  cubes = [pair(i, shape=(resolution,) * 3) for i in range(count)]
  with tf.io.TFRecordWriter(str(path), options='GZIP') as writer:
    for image, label in cubes:
      writer.write(example(image, label).SerializeToString())
  return cubes


def truncate(path, kept=0.6):
  data = path.read_bytes()
  path.write_bytes(data[:int(len(data) * kept)])


def gzip_cut_between_records(path, kept):
  """Leaves whole records, but no end of the gzip stream."""
  data = gzip.decompress(path.read_bytes())
  position = 0
  for _ in range(kept):
    position += 16 + struct.unpack_from('<Q', data, position)[0]
  # One block for the records that stay, flushed; then the stream stops.
  packed = gzip.compress(data[:position])
  path.write_bytes(packed[:-8])
