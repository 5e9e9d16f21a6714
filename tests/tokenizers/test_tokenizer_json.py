"""Files in Hugging Face's format, whole and damaged."""

import json
import pickle

import pytest

from speccascade import tokenizers
from tests.tokenizers import folders

TEXTS = 'the weather', ' two  spaces ', 'a\n\n\tb', 'né 好🙂', '"q" <b>', ''


@pytest.fixture(scope='module')
def of_bytes(tmp_path_factory):
  return tokenizers.load(folders.write(tmp_path_factory.mktemp('bytes')))


@pytest.fixture(scope='module')
def with_byte_fallback(tmp_path_factory):
  folder = tmp_path_factory.mktemp('fallback')
  config = {'eos_token': '</s>'}
  return tokenizers.load(
    folders.write(folder, folders.with_byte_fallback(), config)
  )


@pytest.mark.parametrize('text', TEXTS)
def test_texts_come_back(of_bytes, text):
  tokens = of_bytes.encode(text)
  assert of_bytes.decode(tokens) == text
  assert of_bytes.prompt(text) == [of_bytes.codec.find('<s>'), *tokens]


def test_ids_are_the_tokenizer_s_own(of_bytes, with_byte_fallback):
  assert of_bytes.vocab_size == 3 + 256 + 4 + 1 + 1
  assert of_bytes.beginning == (263,)
  assert of_bytes.ending == ()
  assert of_bytes.pad_id == 0
  assert of_bytes.unk_id is None
  assert of_bytes.special_ids == {0, 1, 2, 263}
  assert with_byte_fallback.beginning == ()
  assert with_byte_fallback.ending == with_byte_fallback.eos_ids == (1,)
  assert with_byte_fallback.unk_id == 0
  assert with_byte_fallback.pad_id is None


def test_an_ending_follows_a_prompt(with_byte_fallback):
  tokens = with_byte_fallback.encode('the')
  assert with_byte_fallback.prompt('the') == [*tokens, 1]


def test_without_a_post_processor_nothing_is_around_a_prompt(tmp_path):
  tokenizer = tokenizers.load(
    folders.write(tmp_path, folders.of_bytes(begins=False))
  )
  assert tokenizer.prompt('the') == tokenizer.encode('the') == [260]


def test_special_pieces_in_a_text_are_theirs(of_bytes):
  tokens = of_bytes.encode('<|im_start|>the<|im_end|><tool>')
  assert [of_bytes.piece(t) for t in tokens] == [
    '<|im_start|>', 'the', '<|im_end|>', '<tool>',
  ]  # fmt: skip
  assert of_bytes.decode(tokens) == 'the<tool>'  # Which is not special.


def test_what_a_file_says_of_lengths_is_not_applied(tmp_path):
  tokenizer = folders.of_bytes()
  tokenizer.enable_truncation(4)
  tokenizer.enable_padding(length=9)
  loaded = tokenizers.load(folders.write(tmp_path, tokenizer))
  assert loaded.decode(loaded.prompt('a longer text')) == 'a longer text'
  assert len(loaded.encode('a')) == 1


def test_a_copy_in_another_process_is_the_same(of_bytes):
  copy = pickle.loads(pickle.dumps(of_bytes))
  assert copy.prompt('né') == of_bytes.prompt('né')
  assert copy.decode([1, 259, 2]) == of_bytes.decode([1, 259, 2])
  messages = [{'role': 'user', 'content': 'Hi'}]
  assert copy.chat(messages) == of_bytes.chat(messages)


# --- Damage.


def _refused(folder, data, message):
  (folder / 'tokenizer.json').write_bytes(data)
  with pytest.raises(ValueError, match=message) as error:
    tokenizers.load(folder)
  assert '\n' not in str(error.value)
  assert str(error.value).startswith(str(folder / 'tokenizer.json'))


def test_a_file_that_is_cut(tmp_path):
  data = (folders.write(tmp_path) / 'tokenizer.json').read_bytes()
  for cut in (0, 1, 100, len(data) // 2, len(data) - 2):
    _refused(tmp_path, data[:cut], 'is not complete JSON; copy it again')
  _refused(tmp_path, b'\xff' + data, 'is not complete JSON; copy it again')


@pytest.mark.parametrize('data', [b'{}', b'[]', b'3', b'{"model": "BPE"}'])
def test_what_is_no_tokenizer(tmp_path, data):
  _refused(tmp_path, data, 'is not a tokenizer, it has no field model; check')


def _with(folder, **model):
  fields = json.loads((folders.write(folder) / 'tokenizer.json').read_text())
  fields['model'] |= model
  return json.dumps(fields).encode()


def test_a_model_of_an_unknown_kind(tmp_path):
  data = _with(tmp_path, type='Runes')
  _refused(tmp_path, data, "is a tokenizer of kind 'Runes', known are BPE, Uni")


def test_a_model_that_lacks_a_field(tmp_path):
  data = _with(tmp_path, merges='none')
  _refused(tmp_path, data, 'is not a whole tokenizer: .*; copy it again')


def test_a_model_without_pieces(tmp_path):
  data = b'{"model": {"type": "BPE", "vocab": {}, "merges": []}}'
  _refused(tmp_path, data, 'is a tokenizer without pieces; copy it again')


def test_two_pieces_of_one_id(tmp_path):
  fields = json.loads((folders.write(tmp_path) / 'tokenizer.json').read_text())
  vocab = fields['model']['vocab'] | {'new': 262}
  twice = fields | {'model': fields['model'] | {'vocab': vocab}}
  message = "id 262 stands for two pieces, '.*' and '.*'; copy it again"
  _refused(tmp_path, json.dumps(twice).encode(), message)
  fields['added_tokens'][-1]['id'] = 262
  _refused(tmp_path, json.dumps(fields).encode(), message)
