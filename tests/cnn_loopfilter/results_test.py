import csv
import io
import json
import math

from PIL import Image
import pytest

from cnn_loopfilter import comparison
from cnn_loopfilter import errors
from cnn_loopfilter import evaluation
from cnn_loopfilter import figures
from cnn_loopfilter import results
from cnn_loopfilter import tables


def _points(saved, seconds=None, vmaf=None):
  """A curve that needs `saved` of the bits of another at equal quality."""
  return {qp: evaluation.Point(
      round(2 ** (30 - qp / 6) * saved), (60 - qp,) * 3,
      (1 - qp / 1000,) * 3, vmaf and 110 - qp, seconds, seconds)
          for qp in (22, 27, 32, 37)}


def _run(codec='x265 medium', base=1.0, vmaf=None, names=('one', 'two', 'six')):
  found = [evaluation.SequenceResult(name, group, 2, {
      'none': _points(base * 1.1, 1.0, vmaf),
      'all': _points(base, 2.0, vmaf),
      'CNN': _points(base * saved, 1 + index, vmaf)})
           for index, (name, group, saved) in enumerate(
               zip(names, 'ABB', (0.9, 0.8, 0.7)))]
  return comparison.run(codec, found)


def _cells(table):
  return [line.cells for line in table.lines]


def test_a_table_has_sequences_by_class_and_overall():
  table = tables.by_class(_run(), 'CNN', 'all')
  assert table.header == ('class', 'sequence', 'Y', 'U', 'V', 'Y SSIM',
                          'EncT', 'DecT')
  assert [cells[:3] for cells in _cells(table)] == [
      ('A', 'one', '-10.00'), ('A', 'average', '-10.00'),
      ('B', 'two', '-20.00'), ('B', 'six', '-30.00'),
      ('B', 'average', '-25.00'), ('', 'overall, x265 medium', '-20.00'),
      ('', 'the paper, JEM 7.0, other sequences', '-3.14')]
  assert [line.total for line in table.lines] == [
      False, True, False, False, True, True, False]
  # Geometric means of 1/2, 2/2 and 3/2.
  assert [cells[-1] for cells in _cells(table)[:6]] == [
      '50 %', '50 %', '100 %', '150 %', '122 %', '91 %']


def test_the_summary_has_a_line_for_each_filter_and_codec():
  report = comparison.Report([_run(vmaf=True), _run('x264', 1.5, True)],
                             {'CNN': 12.34})
  table = tables.summary(report)
  assert table.header == ('codec', 'filter', 'Y', 'U', 'V', 'Y SSIM', 'VMAF',
                          'kMAC/pixel', 'EncT', 'DecT')
  assert [cells[:3] + cells[7:8] for cells in _cells(table)] == [
      ('x265 medium', 'no filter', '+10.00', '–'),
      ('x265 medium', 'CNN', '-20.00', '12.3'),
      ('x264', 'no filter', '+10.00', '–'), ('x264', 'CNN', '-20.00', '12.3')]


def test_codecs_are_compared_with_the_first_one():
  report = comparison.Report([_run(), _run('x264', 1.5)])
  assert {cells[0]: cells[1] for cells in _cells(tables.across(report))} == {
      'x265 medium, none': '+10.00', 'x265 medium, CNN': '-20.00',
      'x264, none': '+65.00', 'x264, all': '+50.00', 'x264, CNN': '+20.00'}
  joined = comparison.joined(report.runs, leave_out=('none',))
  assert list(joined[0].points) == [
      'x265 medium, all', 'x265 medium, CNN', 'x264, all', 'x264, CNN']
  assert tables.across(comparison.Report([_run()])) is None


def test_codecs_that_cannot_be_compared_are_told():
  class Codec:
    def __init__(self, label, filters=('none', 'all')):
      self.label, self.filters = label, filters

  comparison.check([Codec('a'), Codec('b', ('none',))])
  with pytest.raises(errors.InputError, match='got a, b, a, expected each'):
    comparison.check([Codec('a'), Codec('b'), Codec('a')])
  with pytest.raises(errors.InputError, match='b: cannot code with all its'):
    comparison.check([Codec('b', ('none',)), Codec('a')])


def test_a_codec_without_filters_gives_an_empty_table():
  found = [evaluation.SequenceResult('one', '', 1, {'none': _points(1)})]
  report = comparison.Report([comparison.run('plain', found)])
  assert tables.summary(report).lines == ()
  assert 'plain' in results.markdown(report)


def test_the_gain_is_drawn_over_the_work(tmp_path):
  report = comparison.Report([_run()], {'CNN': 12.0})
  figures.gain_by_work(tmp_path / 'gain.png', report)
  with Image.open(tmp_path / 'gain.png') as picture:
    assert picture.size == (600, 400)


def test_files_hold_everything(tmp_path):
  report = comparison.Report([_run(), _run('x264', 1.5)], {'CNN': 12.34})
  results.write(tmp_path, report)
  text = (tmp_path / 'results.md').read_text('utf-8')
  assert '| **B** | **average** | **-25.00** |' in text
  assert '## x264' in text and 'QP 22, 27, 32, 37, 3 sequences, 6 frames' in (
      text)
  content = json.loads((tmp_path / 'results.json').read_text('utf-8'))
  assert content['codec'] == 'x265 medium'
  assert content['sequences'][0]['points']['all']['22']['vmaf'] is None
  assert content['anchors'][0]['codec'] == 'x264'
  for key, measure in (('bd_rates', 'psnr'), ('bd_rates_ssim', 'ssim')):
    for rows in (content[key], content['across'][key]):
      assert {row['measure'] for row in rows} == {measure}
  assert len(content['bd_rates']) == 4 * (3 + 2 + 1)
  points = list(csv.DictReader(io.StringIO(
      (tmp_path / 'points.csv').read_text('utf-8'))))
  assert len(points) == 2 * 3 * 3 * 4
  assert float(points[0]['ssim_y']) == pytest.approx(1 - 0.022)
  rates = list(csv.DictReader(io.StringIO(
      (tmp_path / 'bd_rates.csv').read_text('utf-8'))))
  assert {row['codec'] for row in rates} == {'x265 medium', 'x264',
                                             'all codecs'}
  assert {row['measure'] for row in rates} == {'psnr', 'ssim'}


def test_names_cannot_break_a_table():
  text = results.markdown(comparison.Report(
      [_run(names=('a|b', 'line\nbreak', '<script>'))]))
  assert '| a\\|b |' in text and '| line break |' in text
  assert '&lt;script>' in text and '<script' not in text


def test_values_without_an_end_are_none_in_json():
  point = evaluation.Point(8, (math.inf, 1.0), (math.nan, 1.0))
  found = [evaluation.SequenceResult('one', '', 1, {'none': {22: point}})]
  content = results.to_json(comparison.Report([
      comparison.Run('plain', found, [])]))
  told = content['sequences'][0]['points']['none']['22']
  assert told['psnr'] == [None, 1.0] and told['ssim'] == [None, 1.0]
