"""Texts that come token by token."""

import random

import pytest

from speccascade import tokenizers
from tests.tokenizers import folders, stand_ins

TEXT = 'the 好🙂🙂é\u200d ﷺ  the\n\nthe 好好好 end'


@pytest.fixture(scope='module')
def all_kinds(tmp_path_factory):
  folder = tmp_path_factory.mktemp('kinds')
  fallback = folders.with_byte_fallback()
  return {
    'sentencepiece': tokenizers.load(stand_ins.SHIPPED),
    'bytes': tokenizers.load(folders.write(folder / 'bytes')),
    'fallback': tokenizers.load(
      folders.write(folder / 'fallback', fallback, {'eos_token': '</s>'})
    ),
  }


@pytest.mark.parametrize('kind', ['bytes', 'fallback'])
def test_a_character_comes_whole_with_its_last_token(all_kinds, kind):
  tokenizer = all_kinds[kind]
  tokens = tokenizer.prompt(TEXT)
  texts = list(tokenizers.spell(tokenizer, tokens))
  assert len(texts) == len(tokens) + 1
  assert ''.join(texts) == tokenizer.decode(tokens)
  assert '\ufffd' not in ''.join(texts)
  assert {'🙂', 'the' if kind == 'bytes' else ' the'} < {*texts}
  assert texts[-1] == ''
  for n in range(len(tokens)):  # Nothing that would have to be taken back.
    assert tokenizer.decode(tokens).startswith(''.join(texts[:n]))


@pytest.mark.parametrize('kind', ['bytes', 'fallback', 'sentencepiece'])
def test_any_tokens_join_to_the_decoded_answer(all_kinds, kind):
  """Of pieces of text and special ones, in any order."""
  tokenizer, r = all_kinds[kind], random.Random(0)
  plain = [
    token
    for token in range(tokenizer.vocab_size)
    if '\ufffd' not in tokenizer.decode([token])
    and tokenizer.piece(token) != '<unk>'
  ]
  for _ in range(300):
    tokens = r.choices(plain, k=r.randint(0, 12))
    texts = tokenizers.spell(tokenizer, tokens)
    assert ''.join(texts) == tokenizer.decode(tokens), tokens


@pytest.mark.parametrize('first', ['▁', '▁the', 'the', '</s>'])
def test_a_space_at_the_beginning_is_dropped_once(first):
  tokenizer = stand_ins.make(stand_ins.Pieces(['▁', '▁the', 'the', '▁a']))
  tokens = list(
    map(tokenizer.codec.find, [first, '▁', '▁', '▁the', '▁', 'the'])
  )
  texts = list(tokenizers.spell(tokenizer, tokens))
  assert ''.join(texts) == tokenizer.decode(tokens)
  assert texts[3:] == [' the', ' ', 'the', '']


def test_tokens_that_end_in_the_midst_of_characters(all_kinds):
  """Two tokens of bytes may both hold a part of one character."""
  tokenizer = all_kinds['bytes']
  pieces = ['å', '¥', '½', 'å¥', '½', 'å', '¥', '½']  # E5 A5 BD, three times.
  tokens = list(map(tokenizer.codec.find, pieces))
  texts = list(tokenizers.spell(tokenizer, tokens))
  assert texts == ['', '', '好', '', '好', '', '', '好', '']


class _Halves(stand_ins.Bytes):
  """Two bytes a token, whatever they are part of."""

  def decode(self, tokens):
    data = b''.join(t.to_bytes(2) if t > 255 else bytes([t]) for t in tokens)
    return data.decode(errors='replace')


def test_tokens_that_end_a_character_and_begin_another():
  tokenizer = stand_ins.make(_Halves(), eos_ids=(1,))
  data = '好好好好'.encode()
  tokens = [int.from_bytes(data[i : i + 2]) for i in range(0, len(data), 2)]
  texts = list(tokenizers.spell(tokenizer, tokens))
  assert texts == ['', '好', '好', '', '好', '好', '']


@pytest.mark.parametrize(
  ('data', 'texts'),
  [
    (b'a\xe5b', ['a', '', '\ufffdb', '']),
    (b'a\xe5\xa5', ['a', '', '', '\ufffd']),
    (b'\xff' * 5, ['', '', '', '\ufffd', '\ufffd', '\ufffd' * 3]),
    (b'\xff\xe5\xa5\xbd', ['', '', '', '\ufffd好', '']),
    (b'\xff\xff\xf0\x9f\x99\x82', [*'   ', '\ufffd', '\ufffd', '🙂', '']),
    ('\ufffd\ufffd!'.encode(), [*'   ', '\ufffd', *'  ', '\ufffd!', '']),
  ],
)
def test_bytes_that_are_no_characters(data, texts):
  tokenizer = stand_ins.make(stand_ins.Bytes())
  got = list(tokenizers.spell(tokenizer, data))
  assert ''.join(got) == data.decode(errors='replace')
  assert got == [text.strip(' ') for text in texts]


class _Counting(stand_ins.Bytes):
  """Counts the tokens that it decodes."""

  count = 0

  def decode(self, tokens):
    self.count += len(tokens)
    return super().decode(tokens)


def test_work_is_linear_in_the_length():
  codec = _Counting()
  data = ('é🙂 a' * 500).encode() + b'\xff' * 500
  texts = tokenizers.spell(stand_ins.make(codec), data)
  assert ''.join(texts) == data.decode(errors='replace')
  assert codec.count < 20 * len(data)
