import hashlib

import numpy as np
import pytest
from sentencepiece import sentencepiece_model_pb2

from speccascade import tasks, tokenizers

TASK = tasks.load('word_problems', {})


@pytest.fixture(scope='module')
def path(tmp_path_factory):
  path = str(tmp_path_factory.mktemp('tokenizer') / 'tokenizer.model')
  tokenizers.train(TASK, path, num_examples=2000)
  return path


@pytest.fixture(scope='module')
def tokenizer(path):
  return tokenizers.load(path)


def test_ids(tokenizer):
  assert tokenizer.get_piece_size() == 768
  assert tokenizer.pad_id() == tokenizers.PAD == 0
  assert tokenizer.eos_id() == tokenizers.EOS == 1
  assert tokenizer.bos_id() == tokenizers.BOS == 2
  assert tokenizer.unk_id() == tokenizers.UNK == 3


def test_problems_come_back(tokenizer):
  for example in TASK.examples('train', 500) + TASK.examples('test', 50):
    for text in (example.prompt, example.target):
      tokens = tokenizer.encode(text)
      assert tokenizers.UNK not in tokens
      assert tokenizer.decode(tokens) == text


@pytest.mark.parametrize(
  'text',
  ['', '  two  spaces ', '\n\n', 'a\n b', '#### 1,080', '~|`{}[]<>@%^&\'"'],
)
def test_ascii_comes_back(tokenizer, text):
  assert tokenizer.decode(tokenizer.encode(text)) == text


def test_digits_are_split_and_newlines_kept(tokenizer):
  pieces = tokenizer.encode('Tom has 345 pens.\n#### 12', out_type=str)
  assert pieces[pieces.index('▁3') :][:3] == ['▁3', '4', '5']
  assert pieces[-4:] == ['\n', '####', '▁1', '2']
  assert all(
    len(tokenizer.id_to_piece(i).strip('▁')) == 1
    for i in range(768)
    if any(c.isdigit() for c in tokenizer.id_to_piece(i))
  )


def test_lengths(tokenizer):
  examples = TASK.examples('train', 2000)
  prompts = [1 + len(tokenizer.encode(e.prompt)) for e in examples]
  targets = [1 + len(tokenizer.encode(e.target)) for e in examples]
  assert max(prompts) < 128
  assert max(targets) < TASK.max_new_tokens == 128
  assert 55 < np.mean(targets) < 68


def test_training_is_deterministic(path, tmp_path):
  again = tmp_path / 'again.model'
  tokenizers.train(TASK, str(again), num_examples=2000)
  with open(path, 'rb') as first:
    assert first.read() == again.read_bytes()


def test_vocabulary_too_small(tmp_path):
  with pytest.raises(
    ValueError, match='^cannot train a tokenizer of 50 pieces for word_'
  ):
    tokenizers.train(
      TASK, str(tmp_path / 'small.model'), vocab_size=50, num_examples=50
    )


def test_encode_prompts_pads_ragged_rows(tokenizer):
  texts = ['Tom has 3 pens.\n', '', 'How many pens does Tom have in the end?\n']
  token_BxS, length_B = tokenizers.encode_prompts(tokenizer, texts, 24)
  assert token_BxS.shape == (3, 24)
  assert token_BxS.dtype == length_B.dtype == np.int32
  assert length_B[1] == 1
  for row, length, text in zip(token_BxS, length_B, texts, strict=True):
    assert row[0] == tokenizers.BOS
    assert row[1:length].tolist() == tokenizer.encode(text)
    assert not row[length:].any()


def test_encode_prompts_names_the_prompt_that_is_too_long(tokenizer):
  texts = ['Tom.', 'Tom has 3 pens.']
  length = 1 + len(tokenizer.encode(texts[1]))
  tokenizers.encode_prompts(tokenizer, texts, length)
  with pytest.raises(ValueError, match=f'^prompt 1 has {length} tokens'):
    tokenizers.encode_prompts(tokenizer, texts, length - 1)


def test_a_missing_file_or_a_folder(tmp_path):
  with pytest.raises(ValueError, match='^there is no tokenizer at'):
    tokenizers.load(str(tmp_path / 'none.model'))
  with pytest.raises(ValueError, match='is a folder, not a tokenizer'):
    tokenizers.load(str(tmp_path))


def test_a_file_that_is_cut_between_pieces(path, tmp_path):
  """Which sentencepiece takes for a smaller model, up to its last field."""
  with open(path, 'rb') as file:
    data = file.read()
  proto = sentencepiece_model_pb2.ModelProto.FromString(data)
  ends = np.cumsum([2 + x.ByteSize() for x in proto.pieces])
  cuts = [0, 10, 500, *ends[[0, 2, 9, 100, -1]], len(data) - 1]
  cuts.append(len(data) - 2 - proto.normalizer_spec.ByteSize())
  for cut in cuts:
    torn = tmp_path / 'torn.model'
    torn.write_bytes(data[:cut])
    with pytest.raises(
      ValueError, match='is not a complete sentencepiece model; copy it again'
    ):
      tokenizers.load(str(torn))


def test_pieces_that_are_no_text(path, tmp_path):
  proto = sentencepiece_model_pb2.ModelProto()
  with open(path, 'rb') as file:
    proto.ParseFromString(file.read().replace(b'####', b'##\xff#'))
  torn = tmp_path / 'torn.model'
  torn.write_bytes(proto.SerializeToString())
  with pytest.raises(ValueError, match='is not a complete sentencepiece'):
    tokenizers.load(str(torn))


def _changed(path, tmp_path, **spec):
  """A tokenizer whose special pieces have other names."""
  proto = sentencepiece_model_pb2.ModelProto()
  with open(path, 'rb') as file:
    proto.ParseFromString(file.read())
  for name, piece in spec.items():
    setattr(proto.trainer_spec, name, piece)
  changed = tmp_path / 'changed.model'
  changed.write_bytes(proto.SerializeToString())
  return str(changed)


def test_ids_are_the_tokenizer_s_own(path, tmp_path):
  changed = tokenizers.load(
    _changed(path, tmp_path, eos_piece='<s>', bos_piece='</s>', pad_piece='x')
  )
  assert (changed.eos_id(), changed.bos_id(), changed.pad_id()) == (2, 1, -1)
  token_BxS, _ = tokenizers.encode_prompts(changed, ['Tom has'], 9)
  assert token_BxS[0, 0] == 1


def test_without_a_beginning_a_prompt_begins_with_its_text(path, tmp_path):
  changed = tokenizers.load(_changed(path, tmp_path, bos_piece='none'))
  assert tokenizers.beginning(changed) == []
  token_BxS, length_B = tokenizers.encode_prompts(changed, ['Tom has'], 9)
  assert token_BxS[0, : length_B[0]].tolist() == changed.encode('Tom has')
  with pytest.raises(ValueError, match='^prompt 1 is empty, and the tokenizer'):
    tokenizers.encode_prompts(changed, ['Tom has', ''], 9)


def test_ids_that_are_of_no_use(path, tmp_path):
  for spec, message in (
    (dict(eos_piece='none'), 'has no piece that ends an answer'),
    (dict(bos_piece='</s>'), "'end': 1, 'beginning': 1, .* must be distinct"),
    (dict(pad_piece='</s>'), 'must be distinct'),
  ):
    with pytest.raises(ValueError, match=message):
      tokenizers.load(_changed(path, tmp_path, **spec))


def test_a_digest_is_that_of_the_file(path, tokenizer):
  with open(path, 'rb') as file:
    digest = hashlib.file_digest(file, 'sha256').hexdigest()
  assert tokenizers.digest(tokenizer) == digest


@pytest.mark.parametrize(
  ('name', 'vocab_size', 'longest_prompt'),
  [('translation', 1500, 64), ('summaries', 1024, 160)],
)
def test_other_tasks_come_back(tmp_path, name, vocab_size, longest_prompt):
  task = tasks.load(name, {})
  path = str(tmp_path / 'tokenizer.model')
  tokenizer = tokenizers.train(task, path, vocab_size, num_examples=1000)
  assert tokenizer.get_piece_size() == vocab_size
  examples = task.examples('train', 1500)[1000:] + task.examples('test', 50)
  prompts, targets = [], []
  for example in examples:
    for text in (example.prompt, *example.reference):
      tokens = tokenizer.encode(text)
      assert tokenizers.UNK not in tokens, text
      assert tokenizer.decode(tokens) == text
    prompts.append(1 + len(tokenizer.encode(example.prompt)))
    targets.append(1 + len(tokenizer.encode(example.target)))
  assert max(prompts) <= longest_prompt
  assert max(targets) <= task.max_new_tokens


def test_a_path_that_cannot_be_written_is_told_before_the_work(
  tmp_path, monkeypatch
):
  monkeypatch.setattr(tokenizers, 'sentencepiece', None)
  outside, link = tmp_path / 'outside', tmp_path / 'link'
  outside.write_text('mine')
  link.symlink_to(outside)
  for place in (link, tmp_path):
    with pytest.raises(ValueError, match='is a (link|folder), '):
      tokenizers.train(TASK, place)
  assert outside.read_text() == 'mine'
