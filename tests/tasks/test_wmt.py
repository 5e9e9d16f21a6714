import pathlib

import pytest
import sacrebleu

from speccascade.tasks import wmt

OFFICIAL = pathlib.Path(__file__).parents[3] / 'shared/data/wmt14_en_de'
ENGLISH = ['The cat sleeps.', 'A green\u2028house.', 'Ten years ago.']
GERMAN = ['Die Katze schläft.', 'Ein grünes\u2028Haus.', 'Vor zehn Jahren.']


def write(folder, english=ENGLISH, german=GERMAN):
  (folder / 'test.en').write_bytes('\n'.join([*english, '']).encode())
  (folder / 'test.de').write_bytes('\n'.join([*german, '']).encode())
  return wmt.task(str(folder))


def test_reads_aligned_lines(tmp_path):
  task = write(tmp_path)
  assert (task.name, task.metric, task.max_new_tokens) == ('wmt', 'bleu', 80)
  examples = task.examples('test', 3)
  assert [e.prompt for e in examples] == ENGLISH
  assert [e.target for e in examples] == GERMAN
  assert [e.reference for e in examples] == [(line,) for line in GERMAN]
  assert examples[2].id == 2


def test_a_file_may_end_without_a_newline(tmp_path):
  task = write(tmp_path)
  for name in ('test.en', 'test.de'):
    file = tmp_path / name
    file.write_bytes(file.read_bytes().removesuffix(b'\n'))
  assert task.example('test', 2).target == 'Vor zehn Jahren.'


def test_bleu_of_one_reference_is_the_library_s():
  task = wmt.task('none')
  outputs = [
    'Die Katze schläft nicht.',
    '',
    'Vor zehn Jahren wohnte sie in einem Haus.',
  ]
  references = [
    'Die Katze schläft.',
    'Ein Haus.',
    'Vor zehn Jahren wohnte er in einem Haus.',
  ]
  expected = sacrebleu.corpus_bleu(outputs, [references]).score
  assert task.quality(outputs, [(r,) for r in references]) == expected
  assert 20 < expected < 80


def test_bleu_by_hand():
  # 4 of 5 words, 3 of 4, 2 of 3 and 1 of 2 longer ones; no brevity penalty.
  task = wmt.task('none')
  score = task.quality(['a b c d x'], [('a b c d e',)])
  assert score == pytest.approx(100 * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)
  assert task.score('a b c d x', ('a b c d e',)) == pytest.approx(score / 100)


def test_bleu_is_of_the_corpus_not_of_its_sentences():
  task = wmt.task('none')
  outputs = ['a b c d e f g h', 'x']
  references = [('a b c d e f g h',), ('y z',)]
  mean = sum(map(task.score, outputs, references)) / 2
  assert task.quality(outputs, references) > 100 * mean + 10


def test_any_reference_counts_where_their_numbers_differ():
  task = wmt.task('none')
  references = [
    ('er kaufte gestern ein Buch', 'gestern kaufte er ein Buch'),
    ('sie schläft in dem Haus', 'im Haus schläft sie', 'sie schläft im Haus'),
    ('wir gehen heute nach Hause',),
  ]
  assert task.quality([r[-1] for r in references], references) == (
    pytest.approx(100)
  )
  assert task.quality([r[0] for r in references], references) == (
    pytest.approx(100)
  )
  one = [r[:1] for r in references]
  assert task.quality([r[-1] for r in references], one) < 80
  assert task.score('gestern kaufte er ein Buch', references[0]) == (
    pytest.approx(1)
  )


def test_empty_outputs_score_nothing():
  task = wmt.task('none')
  assert task.score('', ('Ein Haus.',)) == 0
  assert task.quality(['', ''], [('Ein Haus.',), ('Zwei', 'Drei')]) == 0


@pytest.mark.parametrize('outputs', [[], ['a'], ['a', 'b', 'c']])
def test_outputs_and_references_must_pair(outputs):
  references = [('a',)] * (2 if outputs else 0)
  with pytest.raises(ValueError, match=f'{len(outputs)} outputs, '):
    wmt.task('none').quality(outputs, references)


def test_misaligned_files(tmp_path):
  task = write(tmp_path, german=GERMAN[:2])
  with pytest.raises(ValueError, match=r'\.en has 3 lines and \.de 2; line i'):
    task.example('test', 0)


@pytest.mark.parametrize('name', ['test.en', 'test.de'])
def test_a_torn_or_empty_line_is_named(tmp_path, name):
  write(tmp_path)
  file = tmp_path / name
  whole = file.read_bytes()
  file.write_bytes(whole.rstrip(b'\n')[:-2] + '\u00fc'.encode()[:1])
  with pytest.raises(ValueError, match=rf'{name}, line 3 is torn or no UTF-8'):
    wmt.task(str(tmp_path)).example('test', 0)


@pytest.mark.parametrize('line', ['', ' '])
def test_an_empty_line_is_named(tmp_path, line):
  task = write(tmp_path, german=[GERMAN[0], line, GERMAN[2]])
  with pytest.raises(ValueError, match=r'test\.de, line 2 is empty'):
    task.example('test', 0)


def test_missing_file_and_sentence(tmp_path):
  task = write(tmp_path)
  with pytest.raises(
    ValueError, match=r'has 3 sentences; there is no sent.* 3'
  ):
    task.examples('test', 4)
  with pytest.raises(ValueError, match=r'No WMT file at .*train\.en'):
    task.example('train', 0)


def test_official_sentences():
  if not OFFICIAL.exists():
    pytest.skip(f'no WMT at {OFFICIAL}')
  task = wmt.task(str(OFFICIAL))
  examples = task.examples('newstest2014.500', 500)
  assert examples[0].prompt.startswith('Orlando Bloom and Miranda Kerr')
  assert examples[0].target.startswith('Orlando Bloom und Miranda Kerr')
  references = [e.reference for e in examples]
  assert task.quality([e.target for e in examples], references) == (
    pytest.approx(100)
  )
  assert task.quality([e.prompt for e in examples], references) < 10
