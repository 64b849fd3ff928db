from lamb.bert import loss_log


def _write(folder, steps, end=''):
  rows = [f'{step},1.5,1.0,0.5,0.01,2.0\n' for step in steps]
  (folder / loss_log.FILE).write_text(
      ','.join(loss_log.COLUMNS) + '\n' + ''.join(rows) + end)


def test_log_is_read_without_a_line_that_is_cut_short(tmp_path):
  _write(tmp_path, [1, 2], end='3,1.')
  rows = loss_log.read(tmp_path)
  assert [row['step'] for row in rows] == [1, 2]
  assert rows[0]['masked_lm_loss'] == 1.0


def test_cut_drops_the_steps_after_a_checkpoint(tmp_path):
  _write(tmp_path, [1, 2, 3], end='4,')
  loss_log.cut(tmp_path, 2)
  assert [row['step'] for row in loss_log.read(tmp_path)] == [1, 2]
  assert loss_log.read(tmp_path)[1]['gradient_norm'] == 2.0


def test_no_log_is_no_rows(tmp_path):
  assert loss_log.read(tmp_path) == []
  loss_log.cut(tmp_path, 0)
  assert loss_log.read(tmp_path) == []
