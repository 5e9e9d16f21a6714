"""Batches of prompts."""

import numpy as np
import pytest

from speccascade import tokenizers
from tests.tokenizers import folders, stand_ins

TEXTS = ['Tom has 3 pens.\n', '', 'How many pens does Tom have in the end?\n']


@pytest.fixture(scope='module')
def tokenizer():
  return tokenizers.load(stand_ins.SHIPPED)


@pytest.fixture(scope='module')
def with_ending(tmp_path_factory):
  folder, codec = tmp_path_factory.mktemp('t5'), folders.with_byte_fallback()
  return tokenizers.load(folders.write(folder, codec, {'eos_token': '</s>'}))


def test_ragged_rows_are_padded(tokenizer):
  token_BxS, length_B = tokenizers.encode_prompts(tokenizer, TEXTS, 24)
  assert token_BxS.shape == (3, length_B.max())
  assert token_BxS.dtype == length_B.dtype == np.int32
  assert length_B[1] == 1
  for row, length, text in zip(token_BxS, length_B, TEXTS, strict=True):
    assert row[:length].tolist() == tokenizer.prompt(text)
    assert row[0] == tokenizers.BOS
    assert not row[length:].any()


def test_the_prompt_that_is_too_long_is_named(tokenizer):
  texts = ['Tom.', 'Tom has 3 pens.']
  length = len(tokenizer.prompt(texts[1]))
  tokenizers.encode_prompts(tokenizer, texts, length)
  with pytest.raises(ValueError, match=f'^prompt 1 has {length} tokens'):
    tokenizers.encode_prompts(tokenizer, texts, length - 1)


def test_beginning_and_ending_count(with_ending):
  token_BxS, _ = tokenizers.encode_prompts(with_ending, ['thea'] * 3, 3)
  assert list(map(with_ending.piece, token_BxS[2])) == ['▁the', 'a', '</s>']
  with pytest.raises(ValueError, match='^prompt 0 has 3 tokens, more than max'):
    tokenizers.encode_prompts(with_ending, ['thea'], 2)


@pytest.mark.parametrize('most', [12, 20, 30, 99])
def test_the_end_of_a_document_is_cut_and_what_is_after_it_kept(
  tokenizer, most
):
  document = 'Tom has 3 pens. ' * 5
  prompt = f'{document}? Tom.\n{document}How many?'
  shots = len(tokenizer.encode(f'{document}? Tom.\n'))
  room = shots + most
  text = tokenizers.fit(tokenizer, str.upper, prompt, document, 10_000)
  assert text == prompt.upper()
  text = tokenizers.fit(tokenizer, lambda x: x, prompt, document, room)
  assert text.startswith(f'{document}? Tom.\nTom')
  assert text.endswith('How many?')
  assert room - 3 < len(tokenizer.encode(text)) <= room or text == prompt


def test_a_prompt_without_room_for_its_document_is_refused(tokenizer):
  with pytest.raises(ValueError, match='tokens beside its document, which lea'):
    tokenizers.fit(tokenizer, str, 'Tom has 3 pens.', 'Tom', 2)


def test_rendered_chats_bring_their_own_beginning(tmp_path):
  tokenizer = tokenizers.load(folders.write(tmp_path))
  texts = [tokenizer.chat([{'role': 'user', 'content': x}]) for x in TEXTS]
  token_BxS, length_B = tokenizers.encode_prompts(
    tokenizer, texts, 99, rendered=True
  )
  for row, length in zip(token_BxS, length_B, strict=True):
    assert np.flatnonzero(row == tokenizer.beginning[0]).tolist() == [0]
    assert tokenizer.piece(row[length - 2]) == 't'


def test_a_prompt_without_any_token_is_refused(tmp_path):
  folder = folders.write(tmp_path, folders.of_bytes(begins=False))
  with pytest.raises(ValueError, match='^prompt 1 is empty, and the tokenizer'):
    tokenizers.encode_prompts(tokenizers.load(folder), ['Tom has', ''], 9)
