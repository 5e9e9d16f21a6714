"""Files in sentencepiece's format, whole and damaged."""

import hashlib
import pathlib
import pickle

import numpy as np
import pytest
from sentencepiece import sentencepiece_model_pb2

from speccascade import tokenizers
from tests.tokenizers import stand_ins

DATA = (stand_ins.SHIPPED / 'tokenizer.model').read_bytes()
BYTES = (
  pathlib.Path(__file__).parents[3]
  / 'shared/data/tokenizers/hf_test_sentencepiece_with_bytefallback.model'
)


@pytest.fixture(scope='module')
def tokenizer():
  return tokenizers.load(stand_ins.SHIPPED)


def _changed(folder, **spec):
  """The shipped tokenizer with other names of special pieces."""
  proto = sentencepiece_model_pb2.ModelProto.FromString(DATA)
  for name, piece in spec.items():
    setattr(proto.trainer_spec, name, piece)
  changed = folder / 'changed.model'
  changed.write_bytes(proto.SerializeToString())
  return changed


def test_special_pieces_in_a_text_are_theirs(tokenizer):
  text = '<s>Tom has</s>3 pens.<pad>'
  assert tokenizer.encode(text) == [
    *(2, *tokenizer.encode('Tom has'), 1),
    *(*tokenizer.encode('3 pens.'), 0),
  ]
  assert tokenizer.decode(tokenizer.encode(text)) == 'Tom has 3 pens.'


def test_pieces_are_found_by_their_text(tokenizer):
  for token in range(tokenizer.vocab_size):
    assert tokenizer.codec.find(tokenizer.piece(token)) == token
  assert tokenizer.codec.find('no such piece') is None


def test_a_copy_in_another_process_is_the_same(tokenizer):
  copy = pickle.loads(pickle.dumps(tokenizer))
  assert copy.prompt('Tom has 3</s>') == tokenizer.prompt('Tom has 3</s>')
  assert copy.decode([2, 45, 99, 1]) == tokenizer.decode([2, 45, 99, 1])
  assert copy.digest == tokenizer.digest


def test_digests_are_of_content(tokenizer, tmp_path):
  (tmp_path / 'other.model').write_bytes(DATA)
  copy = tokenizers.load(tmp_path / 'other.model')
  assert copy.file_digest == hashlib.sha256(DATA).hexdigest()
  assert copy.digest == tokenizer.digest
  (tmp_path / 'generation_config.json').write_text('{"eos_token_id": 9}')
  changed = tokenizers.load(tmp_path / 'other.model')
  assert changed.file_digest == copy.file_digest
  assert changed.digest != copy.digest


def test_a_file_that_is_cut_between_pieces(tmp_path):
  """Which sentencepiece takes for a smaller model, up to its last field."""
  proto = sentencepiece_model_pb2.ModelProto.FromString(DATA)
  ends = np.cumsum([2 + x.ByteSize() for x in proto.pieces])
  cuts = [0, 10, 500, *ends[[0, 2, 9, 100, -1]], len(DATA) - 1]
  cuts.append(len(DATA) - 2 - proto.normalizer_spec.ByteSize())
  torn = tmp_path / 'torn.model'
  for cut in cuts:
    torn.write_bytes(DATA[:cut])
    with pytest.raises(
      ValueError, match='is not a complete sentencepiece model; copy it again'
    ):
      tokenizers.load(torn)


def test_pieces_that_are_no_text(tmp_path):
  torn = tmp_path / 'torn.model'
  torn.write_bytes(DATA.replace(b'####', b'##\xff#'))
  with pytest.raises(ValueError, match='is not a complete sentencepiece'):
    tokenizers.load(torn)


def test_ids_are_the_tokenizer_s_own(tmp_path):
  changed = tokenizers.load(
    _changed(tmp_path, eos_piece='<s>', bos_piece='</s>', pad_piece='x')
  )
  assert (changed.eos_ids, changed.beginning) == ((2,), (1,))
  assert changed.pad_id is None
  assert changed.prompt('Tom has')[0] == 1


def test_without_a_beginning_a_prompt_begins_with_its_text(tmp_path):
  changed = tokenizers.load(_changed(tmp_path, bos_piece='none'))
  assert changed.beginning == ()
  assert changed.prompt('Tom has') == changed.encode('Tom has')


def test_ids_that_are_of_no_use(tmp_path):
  for spec, message in (
    (dict(eos_piece='none'), 'has no piece that ends an answer; name its eos_'),
    (dict(bos_piece='</s>'), "'eos_token': 1, 'bos_token': 1, .* be distinct"),
    (dict(pad_piece='</s>'), 'must be distinct'),
  ):
    with pytest.raises(ValueError, match=message):
      tokenizers.load(_changed(tmp_path, **spec))


@pytest.mark.skipif(not BYTES.exists(), reason='needs shared data')
def test_characters_of_several_pieces_are_spelled_whole():
  tokenizer = tokenizers.load(BYTES)
  assert (tokenizer.beginning, tokenizer.eos_ids) == ((1,), (2,))
  text = 'A 好🙂 is 两 bytes.'
  tokens = tokenizer.prompt(text)
  assert '<0xF0>' in map(tokenizer.piece, tokens)
  texts = list(tokenizers.spell(tokenizer, tokens))
  assert ''.join(texts) == tokenizer.decode(tokens) == text
  assert '🙂' in texts
