import re

import pytest

from speccascade import tasks
from speccascade.tasks import translation, wmt
from speccascade.tasks.translation_clauses import LEXICON

TASK = translation.task()
SPLITS = ('train', 'validation', 'test')
ALL_LETTERS = re.compile(r"[A-Za-zÄÖÜäöüßé' ,-]+\.")


@pytest.fixture(scope='module')
def drawn():
  """Sentences and German wordings: 5,000 in all."""
  counts = {'train': 4000, 'validation': 500, 'test': 500}
  return {
    split: [TASK.source.sentence(split, i) for i in range(count)]
    for split, count in counts.items()
  }


@pytest.fixture(scope='module')
def train(drawn):
  return drawn['train']


def test_it_is_a_task_like_wmt():
  assert tasks.load('translation', {}) == TASK
  assert type(TASK) is wmt.Translation
  assert (TASK.name, TASK.metric) == ('translation', 'bleu')
  assert TASK.max_new_tokens == 80
  examples = TASK.examples('test', 40)
  for example in examples:
    assert example.reference[0] == example.target
    assert all(
      TASK.score(text, example.reference) == pytest.approx(1)
      for text in example.reference
    )
  references = [e.reference for e in examples]
  assert TASK.quality([e.target for e in examples], references) == (
    pytest.approx(100)
  )
  assert TASK.quality([e.prompt for e in examples], references) < 5


def test_plain_targets_are_worded_alike():
  plain = tasks.load('translation', {'plain': True})
  pairs = [
    (TASK.example('train', i), plain.example('train', i)) for i in range(400)
  ]
  for varied, one in pairs:
    assert (one.prompt, one.reference) == (varied.prompt, varied.reference)
  # Each is one of the wordings that chance may choose, mostly another.
  assert 0.3 < sum(a.target == b.target for a, b in pairs) / 400 < 0.6
  assert sum(b.target in b.reference for _, b in pairs) / 400 > 0.8
  assert plain.example('train', 7).target == (
    'Sie will wissen, ob meine Tante warme Kartoffelsuppe kochen wird.'
  )


@pytest.mark.parametrize('split', SPLITS)
def test_examples_do_not_depend_on_what_was_drawn_before(split):
  examples = TASK.examples(split, 8)
  assert [e.id for e in examples] == list(range(8))
  assert TASK.example(split, 5) == examples[5]
  assert translation.task().example(split, 7) == examples[7]
  assert translation.task(seed=1).example(split, 5) != examples[5]


def test_splits_share_no_content(drawn):
  said = {
    split: {translation.content(s) for s, _ in sentences}
    for split, sentences in drawn.items()
  }
  texts = {
    split: {s.english for s, _ in sentences}
    for split, sentences in drawn.items()
  }
  for one, other in (SPLITS[:2], SPLITS[1:], SPLITS[::2]):
    assert not said[one] & said[other]
    assert not texts[one] & texts[other]


def test_content_is_verbs_and_nouns_whatever_the_wording():
  sentence = TASK.source.sentence('train', 0)[0]
  for clause in sentence.clauses:
    clause.tense, clause.negated, clause.time = 'past', True, None
  assert translation.content(sentence) == translation.content(
    TASK.source.sentence('train', 0)[0]
  )


def test_hardly_any_sentence_comes_twice(drawn):
  for sentences in drawn.values():
    assert len({s.english for s, _ in sentences}) > 0.97 * len(sentences)


def test_texts_are_well_formed(drawn):
  for sentence, wordings in sum(drawn.values(), []):
    for text in (sentence.english, *wordings):
      assert ALL_LETTERS.fullmatch(text), text
      assert not re.search(r'  | ,|,,|None|\bnone\b|[{}|_]', text), text
      assert text[0].isupper()
      assert 6 <= len(text.split()) <= 30, text


def test_many_sentences_have_several_references(train):
  assert all(len(set(wordings)) == len(wordings) for _, wordings in train)
  assert sum(len(wordings) > 1 for _, wordings in train) > 0.7 * len(train)
  assert sum(len(wordings) for _, wordings in train) > 2.5 * len(train)


def test_the_target_is_drawn_among_the_wordings(train):
  # Perfect or preterite: each of them often.
  texts = [w[0] for _, w in train if any(' hat ' in x for x in w)]
  share = sum(' hat ' in text for text in texts) / len(texts)
  assert 0.4 < share < 0.9


def test_many_word_forms(train):
  german = {x for _, w in train for x in re.findall(r'[^\s,.]+', w[0])}
  assert len(german) > 1200


def test_every_pattern_and_frame_is_used(train):
  used = {id(c.frame) for s, _ in train for c, _ in translation._told(s)}
  frames = [f for fs in LEXICON.frames.values() for f in fs]
  assert sum(id(frame) in used for frame in frames) > 0.98 * len(frames)
  text = ' '.join(w[0] for _, w in train)
  for word in (
    'weil', 'da', 'denn', 'dass', 'wenn', 'falls', 'obwohl', 'als', 'während',
    'bevor', 'nachdem', 'ob', 'um', 'denen', 'dem', 'kein', 'gern', 'seit',
    r'\w+und\w+zig', 'halb', 'dritten', 'möchte', r'(auf|aus|an|ein)zu\w+',
    'eingekauft',
  ):  # fmt: skip
    assert re.search(rf'\b{word}\b', text, re.I), word


def test_a_woman_is_told_only_where_english_shows_it(drawn):
  pairs = {
    noun.feminine.id
    for nouns in LEXICON.nouns.values()
    for noun in nouns
    if noun.feminine
  }
  assert 'Ärztin' in pairs
  for sentence, wordings in sum(drawn.values(), []):
    if pairs & set(re.findall(r'\w+', wordings[0])):
      assert re.search(r'\b(she|her)\b', sentence.english, re.I), wordings[0]


@pytest.mark.parametrize(('split', 'index'), [('dev', 0), ('test', -1)])
def test_no_such_sentence(split, index):
  with pytest.raises(ValueError, match=f'No sentence {index} of split'):
    TASK.example(split, index)
