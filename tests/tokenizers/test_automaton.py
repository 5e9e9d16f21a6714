"""The automaton of stop strings, against searches of whole texts."""

import random

import numpy as np
import pytest

from speccascade import tokenizers
from tests.tokenizers import folders, stand_ins

STOPS = ('\n\n', 'Q:', '[DONE]', 'the the', ' end')


@pytest.fixture(scope='module', params=['sentencepiece', 'bytes', 'fallback'])
def tokenizer(request, tmp_path_factory):
  folder = tmp_path_factory.mktemp(request.param)
  if request.param == 'sentencepiece':
    return tokenizers.load(stand_ins.SHIPPED)
  if request.param == 'bytes':
    return tokenizers.load(folders.write(folder))
  fallback = folders.with_byte_fallback()
  return tokenizers.load(folders.write(folder, fallback, {'eos_token': '</s>'}))


def _ends(tokenizer, stops, tokens, size=None):
  """After how many tokens a stop string is there; None if none is."""
  next_SxV = tokenizers.automaton(
    tokenizer, stops, size or tokenizer.vocab_size
  )
  state = 0
  for n, token in enumerate(tokens, 1):
    state = next_SxV[state, token]
    if state == len(next_SxV) - 1:
      return n
  return None


def _searched(tokenizer, stops, tokens):
  for n in range(1, len(tokens) + 1):
    text = tokenizer.decode(tokens[:n])
    if tokenizers.cut(text, stops) != text:
      return n
  return None


def test_it_ends_where_the_text_first_holds_a_stop_string(tokenizer):
  r, found = random.Random(0), []
  parts = ['the ', 'the', ' end', 'Q', ':', '\n', '[DO', 'NE]', ' a', '[', 'é']
  for _ in range(300):
    text = 'a' + ''.join(r.choices(parts, k=12))
    tokens = tokenizer.encode(text)
    cuts = sorted(r.sample(range(len(text)), 3))  # Other tokens of the text.
    pieces = np.split(np.array([*text]), cuts)
    tokens = r.choice(
      [tokens, [t for p in pieces for t in tokenizer.encode(''.join(p))]]
    )
    found.append(_ends(tokenizer, STOPS, tokens))
    assert found[-1] == _searched(tokenizer, STOPS, tokens)
  assert len({*found}) > 5


@pytest.mark.parametrize('stop', ['aab', 'abab', 'aaa'])
def test_what_begins_again_within_a_beginning_is_not_missed(tokenizer, stop):
  r = random.Random(1)
  tokens = {c: tokenizer.encode(f'x{c}')[-1] for c in 'ab'}
  assert all(tokenizer.decode([t]).strip() == c for c, t in tokens.items())
  for _ in range(200):
    text = 'x' + ''.join(r.choices('ab', k=10))
    own = [*tokenizer.encode('x'), *(tokens[c] for c in text[1:])]
    assert _ends(tokenizer, (stop,), own) == _searched(tokenizer, (stop,), own)


def test_special_and_further_tokens_have_no_text(tokenizer):
  size = tokenizer.vocab_size + 3
  ids = tokenizer.encode('aQ:')
  (special, *_) = tokenizer.eos_ids
  assert _ends(tokenizer, ('Q:',), ids, size) == len(ids)
  between = [x for t in ids for x in (t, special, size - 1)]
  assert _ends(tokenizer, ('Q:',), between, size) == 3 * len(ids) - 2


def test_one_within_another_ends_first(tokenizer):
  tokens = tokenizer.encode('xabcd')
  stops = ('abcd', 'bc')
  assert _ends(tokenizer, stops, tokens) == _searched(tokenizer, stops, tokens)


def test_an_empty_stop_string_is_refused(tokenizer):
  with pytest.raises(ValueError, match='stop strings must be'):
    tokenizers.automaton(tokenizer, ('a', ''), tokenizer.vocab_size)
