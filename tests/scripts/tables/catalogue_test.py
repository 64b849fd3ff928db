import catalogue
import pytest

_TABLES = catalogue.tables()
_WANTED = {
    'bert_f1', 'bert_adamw_grid', 'bert_lars', 'bert_64k_loss',
    'bert_batch_scaling', 'recipes', 'resnet50', 'davidnet_cifar10',
    'mnist_batch_1024', 'mnist_batch_50000', 'mnist_full_batch',
    'unet_resolution', 'unet_overhead', 'unet_dice',
    'unet_dice_by_resolution', 'loopfilter_bd_rate',
    'loopfilter_compression', 'loopfilter_gain', 'loopfilter_codecs',
    'loopfilter_video'}


def _rows(name):
  return {row.name: row.paper.text for row in _TABLES[name].rows}


def test_every_table_of_the_papers_is_there():
  assert set(_TABLES) == _WANTED


@pytest.mark.parametrize('name', _TABLES)
def test_every_cell_of_ours_is_made_by_a_job(name):
  table = _TABLES[name]
  made = {job.file for job in table.small_jobs}
  read = {row.ours.file for row in table.rows if row.ours}
  # The study writes its runs' files beside its summary.
  folders = {file.rsplit('/', 1)[0] for file in made}
  assert all(file in made or file.split('/')[0] in folders for file in read)
  assert bool(made) == bool(read)


@pytest.mark.parametrize('name', _TABLES)
def test_jobs_need_only_inputs_that_have_a_flag(name):
  for job in _TABLES[name].small_jobs:
    assert set(job.inputs) <= set(catalogue.INPUTS)


@pytest.mark.parametrize('name', _TABLES)
def test_rows_are_named_once(name):
  names = [row.name for row in _TABLES[name].rows]
  assert len(set(names)) == len(names)


def test_the_papers_figures_are_as_in_the_papers():
  assert _rows('bert_f1')['LAMB, batch 32768'] == '91.475'
  assert _rows('bert_f1')['LAMB, batch 32768, version 1'] == '91.460'
  assert _rows('bert_adamw_grid')['warmup 10%, learning rate 2e-4'] == '88.540'
  assert _rows('bert_lars')['LARS, batch 32768'] == 'diverges'
  assert _rows('loopfilter_bd_rate')[
      'CNN against all of the codec\'s filters, U'] == '-5.21'
  assert _rows('unet_dice')['LiTS at 512^3, lesion Dice'] == ''


def test_every_pre_training_of_the_paper_has_its_job():
  table = _TABLES['bert_f1']
  named = {job.name.removesuffix(', 8599 steps') for job in table.paper_jobs}
  assert named == {row.name for row in table.rows
                   if not row.name.endswith('version 1')}


def test_first_stage_of_every_batch_has_the_papers_warmup():
  for table in ('bert_f1', 'bert_lars'):
    for job in _TABLES[table].paper_jobs:
      if 'baseline' in job.name:
        continue
      warmup = next(each for each in job.commands[0]
                    if each.startswith('--num_warmup_steps='))
      first = warmup.partition('=')[2].split(',')[0]
      assert first == ('2000' if '8599 steps' in job.name else '3125')


def test_time_is_told_only_where_the_paper_tells_it():
  times = {job.time for table in _TABLES.values() for job in table.paper_jobs}
  assert all(time == 'not known' or time.endswith('(the paper\'s)')
             for time in times)
  assert '76.19 min (the paper\'s)' in times
