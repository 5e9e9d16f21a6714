import pathlib

import pytest
import sacrebleu

from speccascade.tasks import wmt

OFFICIAL = pathlib.Path(__file__).parents[3] / 'shared/data/wmt14_en_de'
ENGLISH = ['The cat sleeps.', 'A green\u2028house.', 'Ten years ago.']
GERMAN = ['Die Katze schläft.', 'Ein grünes\u2028Haus.', 'Vor zehn Jahren.']


def _task(folder, english=ENGLISH, german=GERMAN):
  (folder / 'test.en').write_bytes('\n'.join([*english, '']).encode())
  (folder / 'test.de').write_bytes('\n'.join([*german, '']).encode())
  return wmt.task(str(folder))


def test_reads_aligned_lines(tmp_path):
  task = _task(tmp_path)
  examples = task.examples('test', 3)
  assert [e.id for e in examples] == [0, 1, 2]
  assert [e.prompt for e in examples] == ENGLISH
  assert [e.target for e in examples] == GERMAN
  assert [e.reference for e in examples] == [(line,) for line in GERMAN]
  with pytest.raises(ValueError, match='has 3 examples; there is no example 3'):
    task.example('test', 3)
  with pytest.raises(ValueError, match=r'there is no file .*train\.en'):
    task.example('train', 0)


def test_quality_is_the_bleu_of_the_corpus():
  outputs = ['Die Katze schläft nicht.', '', 'Vor zehn Jahren schlief sie da.']
  expected = sacrebleu.corpus_bleu(outputs, [GERMAN]).score
  assert 20 < expected < 80
  task = wmt.task('none')
  assert task.quality(outputs, [(r,) for r in GERMAN]) == expected


def test_misaligned_files(tmp_path):
  task = _task(tmp_path, german=GERMAN[:2])
  message = r'test\.en has 3 lines and test\.de has 2; line i'
  with pytest.raises(ValueError, match=message):
    task.example('test', 0)


@pytest.mark.parametrize('name', ['test.en', 'test.de'])
def test_a_torn_line_is_named(tmp_path, name):
  task = _task(tmp_path)
  file = tmp_path / name
  file.write_bytes(file.read_bytes()[:-3] + 'ü'.encode()[:1])
  with pytest.raises(ValueError, match=rf'{name}, line 3 is not valid UTF-8'):
    task.example('test', 0)


def test_line_ends_are_no_part_of_a_prompt(tmp_path):
  task = _task(tmp_path)
  plain = task.examples('test', 3)
  for name in ('dos.en', 'dos.de'):
    lines = (tmp_path / name.replace('dos', 'test')).read_bytes()
    lines = lines.replace(b'\n', b'\r\n')
    (tmp_path / name).write_bytes(b'\xef\xbb\xbf' + lines + b'\r\n')
  assert task.examples('dos', 3) == plain


@pytest.mark.parametrize('line', ['', ' '])
def test_an_empty_line_is_named(tmp_path, line):
  task = _task(tmp_path, german=[GERMAN[0], line, GERMAN[2]])
  with pytest.raises(ValueError, match=r'test\.de, line 2 is empty'):
    task.example('test', 0)


def test_official_sentences():
  if not OFFICIAL.exists():
    pytest.skip(f'no WMT at {OFFICIAL}')
  task = wmt.task(str(OFFICIAL))
  examples = task.examples('newstest2014.500', 500)
  assert examples[0].prompt.startswith('Orlando Bloom and Miranda Kerr')
  assert examples[0].target.startswith('Orlando Bloom und Miranda Kerr')
  references = [e.reference for e in examples]
  targets = [e.target for e in examples]
  assert task.quality(targets, references) == pytest.approx(100)
  assert task.quality([e.prompt for e in examples], references) < 10
