"""Answers where a method and strict deferred differently."""

import json

import pytest

from speccascade import tokenizers
from speccascade.reports.render import answers as render
from speccascade.reports.render import page
from speccascade.studies import answers
from speccascade.sweeps import outputs
from tests.tokenizers import folders

_ID = 'token_v3-alpha0.3-t0-p1-k0-s0'


@pytest.fixture(scope='module')
def tokenizer(tmp_path_factory):
  return tokenizers.load(folders.write(tmp_path_factory.mktemp('tokenizer')))


def _line(tokenizer, id_, example, score, text, drafted, **changes):
  tokens = [*tokenizer.encode(text), tokenizer.eos_ids[0]]
  kept = ''.join('1' if drafted(n) else '0' for n in range(len(tokens)))
  return {
    'id': id_,
    'example': example,
    'score': score,
    'tokens': len(tokens),
    'text': text,
    'digest': outputs.digest(tokens),
    'from_drafter': kept,
  } | changes


@pytest.fixture
def folder(tmp_path, tokenizer):
  """Four examples; the last is written as no tokenizer would."""
  (tmp_path / 'outputs').mkdir()
  scores = {'strict-t0-p1-k0-s0': (1, 0, 1, 1), _ID: (1, 1, 0, 1)}
  for id_, own in scores.items():
    with (tmp_path / f'outputs/{id_.partition("-")[0]}.jsonl').open('w') as f:
      for e, score in enumerate(own):
        text = f'the {"answer" if id_ == _ID else "other"}\nis {e}å¥'
        every = 3 if id_ == _ID else 2
        line = _line(
          tokenizer, id_, e, score, text, lambda n, k=every: n % k != 1
        )
        if e == 3:
          line['digest'] = 'f' * 16
        f.write(json.dumps(line) + '\n')
        f.write(json.dumps(line | {'id': f'{id_}0', 'example': 9}) + '\n')
  return tmp_path


def test_an_example_of_each_kind_is_found(folder, tokenizer):
  found = answers.compare(folder, _ID, tokenizer, 100)
  assert [x.example for x in found] == [0, 1, 2]
  assert [(x.strict.score, x.other.score) for x in found] == [
    (1, 1),
    (0, 1),
    (1, 0),
  ]
  for compared in found:
    for answer in (compared.strict, compared.other):
      text = ''.join(text for text, _ in answer.runs)
      assert text.endswith(f'\nis {compared.example}å¥')
      corrected = [text for text, drafted in answer.runs if not drafted]
      assert len(corrected) >= answer.corrected - 1  # EOS has no text.
    assert compared.strict.corrected > compared.other.corrected


def test_runs_are_of_the_tokens_that_were_generated(folder, tokenizer):
  line = _line(tokenizer, _ID, 0, 1, 'the the', lambda n: n == 0)
  found = answers._answer(tokenizer, line)
  assert found.runs == (('the', True), (' the', False))
  assert (found.tokens, found.corrected) == (3, 2)
  line['digest'] = '0' * 16
  assert answers._answer(tokenizer, line) is None


@pytest.mark.parametrize(
  ('id_', 'longest', 'message'),
  [
    (_ID, 3, r'no answers of token_v3-\S+ and strict-t0-p1-k0-s0 with at most'),
    ('token_v3-alpha0.5-t0-p1-k0-s0', 99, 'of token_v3 it has token_v3-alph'),
    ('opt-alpha0.5-t0-p1-k0-s0', 99, 'of opt it has none'),
    ('token_v3', 99, "'token_v3' is no id of outputs"),
  ],
)  # fmt: skip
def test_what_is_not_there_is_named(folder, tokenizer, id_, longest, message):
  with pytest.raises(ValueError, match=message):
    answers.compare(folder, id_, tokenizer, longest)


def test_lines_break_where_they_would_and_keep_their_colours():
  long = 'word ' * 30
  runs = (('a ', True), ('bc', False), (f'\n{long}', True), ('end', False))
  found = render._lines(runs)
  assert found[0] == [(0, 'a ', True), (2, 'bc', False)]
  assert ''.join(text for line in found[1:] for _, text, _ in line) == (
    f'{long}end'
  )
  assert all(at + len(t) <= render._WIDE for x in found for at, t, _ in x)
  assert found[-1][-1][1:] == ('end', False)


def test_a_picture_marks_what_the_verifier_wrote(folder, tokenizer):
  found = answers.compare(folder, _ID, tokenizer, 100)
  fig = render.draw(found)
  boxes = len(fig.patches) + len(fig.artists)
  marked = sum(
    not drafted
    for x in found
    for answer in (x.strict, x.other)
    for line in render._lines(answer.runs)
    for _, _, drafted in line
  )
  assert boxes == marked > 6
  texts = [t.get_text() for t in fig.texts]
  assert sum(t.startswith('Example ') for t in texts) == 3
  assert f'{_ID}: score 1, ' in ' '.join(texts)
  image = page.png(page.Figure('x', lambda: fig, '', ''), 50)
  assert image.startswith(b'\x89PNG')
