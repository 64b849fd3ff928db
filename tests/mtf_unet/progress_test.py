import io
import types

import pytest
import tensorflow as tf

from mtf_unet import progress


class _Terminal(io.StringIO):
  def isatty(self):
    return True


def _run(stream, steps, start=0, total=100, **keywords):
  hook = progress.ProgressHook(total, 2, stream=stream, **keywords)
  hook.watch('loss')._global_step = 'step'
  hook.after_create_session(
      types.SimpleNamespace(run={'step': start}.get), None)
  for k in range(steps):
    assert hook.before_run(None).fetches == 'loss'
    hook.after_run(None, types.SimpleNamespace(results=0.5 + k))
  return hook


def _lines(steps, **keywords):
  stream = io.StringIO()
  _run(stream, steps, **keywords).close()
  return stream.getvalue().splitlines()


def test_first_and_last_step_are_told_in_plain_lines():
  lines = _lines(10, total=10)
  assert lines[0] == 'step 1/10  loss 0.5000'
  assert lines[1].startswith('step 10/10  loss 9.5000  ')
  assert lines[1].endswith(' volumes/s  0:00:00 left')
  assert len(lines) == 2


def test_lines_come_as_time_goes_by():
  assert len(_lines(5, seconds_between_lines=0.0)) == 5
  assert len(_lines(5, seconds_between_lines=1000.0)) == 1


def test_a_resumed_training_counts_on():
  lines = _lines(2, start=7, total=9, unit='slices')
  assert lines[0].startswith('step 8/9')
  assert lines[1].startswith('step 9/9')
  assert 'slices/s' in lines[1]


def test_a_terminal_gets_a_bar_with_loss_rate_and_time_left():
  stream = _Terminal()
  hook = _run(stream, 4, start=46)
  hook._bar.refresh()
  hook.close()
  hook.close()
  last = stream.getvalue().rstrip().split('\r')[-1]
  assert '50/100' in last
  assert 'loss 3.5000' in last
  assert 'volumes/s' in last
  assert '<' in last  # elapsed<left
  assert stream.getvalue().endswith('\n')


@pytest.mark.parametrize('seconds, text', [
    (0, '0:00:00'), (59.9, '0:00:59'), (3661, '1:01:01'),
    (90000, '25:00:00')])
def test_seconds_are_written_as_a_clock(seconds, text):
  assert progress.format_seconds(seconds) == text


def test_runs_of_several_steps_end_at_the_last_step():
  lines = _lines(2, start=90, total=100, steps_per_run=8)
  assert lines[0].startswith('step 98/100  ')
  assert lines[1].startswith('step 100/100  ')


def test_without_a_loss_to_watch_the_estimators_is_shown():
  hook = progress.ProgressHook(10, 2)
  with tf.Graph().as_default():
    tf.compat.v1.train.create_global_step()
    loss = tf.constant(1.0)
    tf.compat.v1.add_to_collection(tf.compat.v1.GraphKeys.LOSSES, loss)
    hook.begin()
  assert hook.before_run(None).fetches is loss


def _shares(stream, shares, **keywords):
  show = progress.ShareProgress('slabs', stream=stream, **keywords)
  for share in shares:
    show(share)
  return stream.getvalue()


def test_shares_are_told_in_plain_lines_with_the_time_left():
  lines = _shares(io.StringIO(), (0.25, 0.5, 1.0),
                  seconds_between_lines=0.0).splitlines()
  assert [line.split('  ')[:2] for line in lines] == [
      ['slabs', '25%'], ['slabs', '50%'], ['slabs', '100%']]
  assert lines[2].endswith('  0:00:00 left')


def test_short_work_is_done_in_silence():
  assert not _shares(io.StringIO(), (0.25, 0.5, 1.0))


def test_a_smaller_share_begins_anew():
  lines = _shares(io.StringIO(), (0.5, 1.0, 0.5, 1.0),
                  seconds_between_lines=0.0).splitlines()
  assert [line.endswith('left') for line in lines] == [
      False, True, False, True]


def test_a_terminal_gets_a_bar_of_the_share():
  written = _shares(_Terminal(), (0.25, 0.5, 1.0), seconds_between_lines=0.0)
  assert 'slabs:' in written
  assert ' left' in written
  assert '\n' not in written.rstrip()
