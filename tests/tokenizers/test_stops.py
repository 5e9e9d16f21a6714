"""Stop strings, of whole texts and of texts that come in parts."""

import random

import pytest

from speccascade import tokenizers


def test_a_text_is_cut_at_the_first_of_several():
  assert tokenizers.cut('a\n\nQuestion: b', ['Question:', '\n\n']) == 'a'
  assert tokenizers.cut('Q: a Q: b', ['Q:']) == ''
  assert tokenizers.cut('no stop', ['stopping', 'x']) == 'no stop'
  assert tokenizers.cut('a', []) == 'a'
  assert tokenizers.cut('abcd', ['bc', 'abcd']) == ''


def test_what_may_begin_a_stop_string_is_held_back():
  texts = ['a[', 'D', 'O] b [', 'DO', 'NE', '] c', 'd']
  found = list(tokenizers.until(texts, ['[DONE]', '\n']))
  assert found == ['a', '', '[DO] b ', '', '', '']
  assert list(tokenizers.until(['a [', 'DO'], ['[DONE]'])) == ['a ', '', '[DO']
  assert list(tokenizers.until(['a', 'b'], [])) == ['a', 'b', '']


def test_an_earlier_stop_string_may_still_become_whole():
  stops = ['abcd', 'bc']
  assert list(tokenizers.until(['xabc', 'd'], stops)) == ['x', '']
  assert list(tokenizers.until(['xabc', 'e'], stops)) == ['x', 'a']
  assert list(tokenizers.until(['xabc'], stops)) == ['x', 'a']


def test_nothing_is_read_after_a_stop_string():
  texts = iter(['a', 'b.', 'c'])
  assert ''.join(tokenizers.until(texts, ['.'])) == 'ab'
  assert next(texts) == 'c'


def test_parts_join_to_what_is_cut_of_the_whole():
  r = random.Random(0)
  letters = lambda most: ''.join(  # noqa: E731
    r.choices('ab', k=r.randint(1, most))
  )
  cut = 0
  for _ in range(3000):
    stops = [letters(5) for _ in range(r.randint(0, 3))]
    texts = [letters(4) for _ in range(r.randint(0, 5))]
    want = tokenizers.cut(''.join(texts), stops)
    assert ''.join(tokenizers.until(texts, stops)) == want, (texts, stops)
    cut += want != ''.join(texts)
  assert 1000 < cut < 2500


@pytest.mark.parametrize('stops', [['a', ''], 'ab'])
def test_stop_strings_are_checked(stops):
  for call in (tokenizers.cut, lambda *x: list(tokenizers.until(*x))):
    with pytest.raises(ValueError, match='^stop strings must be a list of tex'):
      call('text', stops)
