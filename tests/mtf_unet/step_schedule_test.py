"""Who writes, who reads, and what is held in between."""

import contextlib

import numpy as np
import pytest
import tensorflow as tf

from mtf_unet import architecture
from mtf_unet import config as config_lib
from mtf_unet import convolution
from mtf_unet import deep_supervision
from mtf_unet import dropout
from mtf_unet import layout
from mtf_unet import losses
from mtf_unet import normalization
from mtf_unet import pooling
from mtf_unet import step_schedule
from mtf_unet import unet
from mtf_unet.mtf_compat import mtf
from tests.mtf_unet import lowered

_SIZE = (16, 8, 8)


def _config(recompute=(), **mesh):
  return config_lib.from_mapping({
      'data': {'size': _SIZE}, 'mesh': mesh,
      'network': {'base_filters': 4, 'levels': 2, 'recompute': recompute},
      'training': {'batch_size': 2}})


def _supervised(recompute=(), **mesh):
  """With a coarse head on level 1 of three."""
  return config_lib.from_mapping({
      'data': {'size': _SIZE}, 'mesh': mesh,
      'network': {'base_filters': 4, 'levels': 3, 'recompute': recompute,
                  'deep_supervision': 1},
      'training': {'batch_size': 2}})


def _operations(config):
  return step_schedule.schedule(
      config, layout.partition(config.mesh),
      architecture.training_layers(config.network, 1, 3))


def _operation(name, reads, writes, scratch=0, backward=False):
  return step_schedule.Operation(name, name, reads, writes, scratch, backward)


def test_tensor_is_held_from_its_writer_to_its_last_reader():
  operations = [
      _operation('one', ('in',), {'a': 10}),
      _operation('two', ('a',), {'b': 20}, scratch=5),
      _operation('three', ('b',), {'c': 1}),   # a has gone
      _operation('four', ('c',), {'d': 30}),
      _operation('five', ('d', 'in'), {}),
  ]
  # 'two': in 3, a 10, b 20, scratch 5; 'four': in 3, c 1, d 30.
  assert step_schedule.peak(operations, {'in': 3}) == step_schedule.Moment(
      38, 'two', 'two')


def test_kept_is_what_the_backward_pass_reads_of_the_forward_pass():
  operations = [
      _operation('one', ('in',), {'a': 10, 'mask': 2}),
      _operation('two', ('a',), {'b': 20}),
      _operation('back', ('b', 'mask'), {'d b': 20}, backward=True),
      _operation('further', ('d b', 'in'), {}, backward=True),
  ]
  assert step_schedule.kept(operations) == {'mask': 2, 'b': 20}


@pytest.mark.parametrize('make', [_config, _supervised])
@pytest.mark.parametrize('recompute', [(), (0,), (1,), (0, 1)], ids=str)
@pytest.mark.parametrize('mesh', [
    {}, {'spatial_split': (2, 1, 2)}, {'batch_split': 2}],
    ids=['whole', 'space', 'batch'])
def test_everything_read_has_been_written(mesh, recompute, make):
  there = {step_schedule.IMAGES, step_schedule.LABELS}
  for operation in _operations(make(recompute, **mesh)):
    assert set(operation.reads) <= there, operation
    there |= set(operation.writes)


def test_blocks_keep_output_input_and_mask_of_a_convolution():
  kept = step_schedule.kept(_operations(_config()))
  voxels = 2 * 16 * 8 * 8
  # encoder_0_1: its output, its input (the layer before), one byte of mask.
  assert kept['encoder_0_1/output'] == voxels * 4 * 4
  assert kept['encoder_0_0'] == voxels * 4 * 4
  assert kept['encoder_0_1/mask'] == voxels * 4
  assert 'encoder_0_0/mask' not in kept
  assert kept['join_0'] == voxels * 8 * 4


def test_split_blocks_keep_the_widened_input_in_place_of_the_input():
  kept = step_schedule.kept(_operations(_config(spatial_split=(2, 1, 1))))
  # All three axes are widened, those that are whole by zeros.
  assert kept['encoder_0_1/widened'] == 2 * 10 * 10 * 10 * 4 * 4
  assert 'encoder_0_0' not in kept
  # What a pooling and a transposed convolution read has no margin.
  assert kept['encoder_1_1'] == 2 * 4 * 4 * 4 * 8 * 4


@pytest.mark.parametrize('mesh', [
    {}, {'spatial_split': (2, 1, 1)}, {'spatial_split': (2, 2, 2)}],
    ids=['whole', '2x1x1', '2x2x2'])
def test_written_sizes_are_those_of_the_lowered_graph(mesh):
  config = _config(**mesh)
  partition = layout.partition(config.mesh)
  written = {}
  for operation in _operations(config):
    written |= operation.writes
  with lowered.bench(config.mesh) as bench:
    images = bench.activation(np.zeros((2, *_SIZE, 1), np.float32))
    unet.Network(config.network, 3).logits(images)
    lowering = bench.lower()
    size = lambda laid_out: laid_out.to_laid_out_tensor().all_slices[
        0].shape.num_elements() * 4
    found = {kind: [op for op in bench.graph.operations
                    if isinstance(op, kind)]
             for kind in (convolution.ConvolutionOperation,
                          normalization.NormalizeOperation,
                          pooling.PoolOperation)}
    result = lambda op: size(lowering.tensors[op.outputs[0]])
    layers = architecture.layers(config.network, 1, 3)
    names = lambda kind: [la.name for la in layers if la.kind == kind]
    normed = names(architecture.CONVOLUTION)
    *filters, _ = found[convolution.ConvolutionOperation]
    assert [written[f'{n}/output'] for n in normed] == [
        result(op) for op in filters]
    assert [written[n] for n in normed] == [
        result(op) for op in found[normalization.NormalizeOperation]]
    assert [written[n] for n in names(architecture.POOL)] == [
        result(op) for op in found[pooling.PoolOperation]]
    if partition.mesh_size > 1:
      assert [written[f'{n}/widened'] for n in normed] == [
          size(op.widened) for op in filters]


@pytest.mark.parametrize('recompute', [(), (0, 1)], ids=['kept', 'again'])
def test_a_skip_connection_goes_once_it_is_concatenated(recompute):
  # The last activation of the encoder's level 0.
  readers = [operation.name for operation in _operations(_config(recompute))
             if 'encoder_0_1' in operation.reads]
  assert readers == ['pooling', 'concatenation']


@pytest.mark.parametrize('mesh', [{}, {'spatial_split': (2, 1, 2)}],
                         ids=['whole', 'split'])
def test_recomputed_levels_keep_what_convolutions_return_and_no_more(mesh):
  kept = step_schedule.kept(_operations(_config((0, 1), **mesh)))
  normed = [f'{scope}_{i}/output' for scope in (
      'encoder_0', 'encoder_1', 'decoder_0') for i in range(2)]
  # The images' margins, of one channel, are not exchanged again.
  images = ['encoder_0_0/widened'] if mesh else []
  assert set(kept) == {*normed, *images, 'logits'}


def test_a_level_that_is_kept_beside_one_computed_again_keeps_its_inputs():
  kept = step_schedule.kept(_operations(_config((0,))))
  assert 'encoder_1_0' in kept
  assert 'encoder_0_0' not in kept
  assert 'pool_1' in kept
  assert 'pool_1/largest' not in kept
  assert 'join_0' not in kept


def test_every_level_computed_again_lowers_the_peak():
  peaks = [step_schedule.peak(_operations(_config(levels)), {}).bytes
           for levels in ((), (0,), (0, 1))]
  assert peaks == sorted(peaks, reverse=True)
  assert peaks[2] < 0.7 * peaks[0]


def test_first_layer_has_no_gradient_to_its_input():
  names = [(operation.layer, operation.name)
           for operation in _operations(_config())]
  assert ('encoder_0_1', 'input gradient') in names
  assert ('encoder_0_0', 'input gradient') not in names
  assert ('encoder_0_0', 'filter gradient') in names


def test_bfloat16_halves_activations_and_leaves_masks():
  half = config_lib.from_mapping({
      'data': {'size': _SIZE},
      'network': {'base_filters': 4, 'levels': 2,
                  'activation_dtype': 'bfloat16'},
      'training': {'batch_size': 2}})
  came, full = (step_schedule.kept(_operations(c)) for c in (half, _config()))
  assert came['encoder_0_1/output'] * 2 == full['encoder_0_1/output']
  assert came['encoder_0_1/mask'] == full['encoder_0_1/mask']
  assert came['logits'] == full['logits']


def test_a_coarse_head_keeps_its_logits_and_labels():
  kept = step_schedule.kept(_operations(_supervised()))
  voxels = 2 * 8 * 4 * 4
  assert kept['head_1/logits'] == voxels * 3 * 4
  assert kept['head_1/labels'] == voxels
  assert kept['decoder_1_1'] == voxels * 8 * 4


def test_the_gradient_of_a_coarse_head_waits_for_that_from_above():
  operations = _operations(_supervised())
  waiting = 'd decoder_1_1/supervised'
  written, = (i for i, op in enumerate(operations) if waiting in op.writes)
  read, = (i for i, op in enumerate(operations) if waiting in op.reads)
  between = {op.layer for op in operations[written + 1:read]}
  assert {'decoder_0_0', 'decoder_0_1', 'head'} <= between
  assert operations[read].layer == 'up_0'
  assert operations[read].writes == {
      'd decoder_1_1': operations[written].writes[waiting]}


def test_a_coarse_head_adds_to_the_peak_what_waits():
  config = _supervised()
  layers = architecture.layers(config.network, 1, 3)
  without = step_schedule.schedule(config, layout.partition(config.mesh),
                                   layers)
  voxels = 2 * 8 * 4 * 4
  assert (step_schedule.peak(_operations(config), {}).bytes
          - step_schedule.peak(without, {}).bytes) == voxels * 8 * 4


@contextlib.contextmanager
def _lowered_loss(config):
  """The loss of all levels and its gradients, lowered."""
  with lowered.bench(config.mesh) as bench:
    images = bench.activation(np.zeros((2, *_SIZE, 1), np.float32))
    labels = mtf.import_tf_tensor(
        bench.mesh, tf.zeros((2, *_SIZE), tf.uint8),
        mtf.Shape(images.shape.dims[:-1]))
    network = unet.Network(config.network, 3, dropout.Dropout(
        0.5, 0, tf.constant(0, tf.int64)))
    logits = network.logits(images)
    loss = deep_supervision.segmentation_loss(
        logits, network.coarse_logits, labels, config.loss)['loss']
    mtf.gradients([loss], [v.outputs[0] for v in
                           bench.graph.trainable_variables])
    yield bench, bench.lower(), network


@pytest.mark.parametrize('mesh', [{}, {'spatial_split': (2, 2, 1)}],
                         ids=['whole', 'split'])
def test_sizes_of_a_coarse_head_are_those_of_the_lowered_graph(mesh):
  config = _supervised(**mesh)
  written = {}
  for operation in _operations(config):
    written |= operation.writes
  with _lowered_loss(config) as (bench, lowering, network):
    first = lambda tensor: lowering.tensors[
        tensor].to_laid_out_tensor().all_slices[0]
    size = lambda tensor: (first(tensor).shape.num_elements()
                           * first(tensor).dtype.size)
    labels, = (op.outputs[0] for op in bench.graph.operations if isinstance(
        op, deep_supervision.CoarseLabelsOperation))
    assert written['head_1/labels'] == size(labels)
    logits, = network.coarse_logits
    assert written['head_1/logits'] == size(logits)
    to_logits, = (op.outputs[0] for op in bench.graph.operations if isinstance(
        op, losses.ClassSumsGradientOperation) and op.inputs[0] is logits)
    assert written['d head_1/logits'] == size(to_logits)
    head, = (op for op in bench.graph.operations if isinstance(
        op, convolution.ConvolutionOperation)
             and op.outputs[0].shape.dims[-1].name == 'classes'
             and op.outputs[0].shape.size == logits.shape.size)
    assert written['d decoder_1_1/supervised'] == size(head.inputs[0])


def test_a_coarse_head_waits_for_no_finer_level():
  with _lowered_loss(_supervised()) as (bench, lowering, network):
    logits, = network.coarse_logits
    gradient, = (op.outputs[0] for op in bench.graph.operations if isinstance(
        op, losses.ClassSumsGradientOperation) and op.inputs[0] is logits)
    left = list(lowering.tensors[gradient].to_laid_out_tensor().all_slices)
    seen = set()
    while left:
      operation = left.pop().op
      if operation not in seen:
        seen.add(operation)
        left += operation.inputs
        left += [c.outputs[0] for c in operation.control_inputs if c.outputs]
    scopes = {part for op in seen for part in op.name.split('/')}
  assert 'decoder_1_1' in scopes
  assert not scopes & {'up_0', 'decoder_0_0', 'decoder_0_1', 'head'}
