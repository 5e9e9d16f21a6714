"""Tokenizers that are trained on a task."""

import numpy as np
import pytest

from speccascade import tasks, tokenizers
from speccascade.tokenizers import training

TASK = tasks.load('word_problems', {})


@pytest.fixture(scope='module')
def path(tmp_path_factory):
  path = tmp_path_factory.mktemp('tokenizer') / 'tokenizer.model'
  tokenizers.train(TASK, path, num_examples=2000)
  return path


@pytest.fixture(scope='module')
def tokenizer(path):
  return tokenizers.load(path)


def test_ids(tokenizer):
  assert tokenizer.vocab_size == 768
  assert tokenizer.pad_id == tokenizers.PAD == 0
  assert tokenizer.eos_ids == (tokenizers.EOS,) == (1,)
  assert tokenizer.beginning == (tokenizers.BOS,) == (2,)
  assert tokenizer.unk_id == tokenizers.UNK == 3
  assert tokenizer.special_ids == {0, 1, 2}
  assert tokenizer.ending == ()
  assert tokenizer.template is None


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
  tokens = tokenizer.encode('Tom has 345 pens.\n#### 12')
  pieces = [tokenizer.piece(token) for token in tokens]
  assert pieces[pieces.index('▁3') :][:3] == ['▁3', '4', '5']
  assert pieces[-4:] == ['\n', '####', '▁1', '2']
  assert all(
    len(piece.strip('▁')) == 1
    for piece in map(tokenizer.piece, range(768))
    if any(c.isdigit() for c in piece)
  )


def test_lengths(tokenizer):
  examples = TASK.examples('train', 2000)
  prompts = [len(tokenizer.prompt(e.prompt)) for e in examples]
  targets = [1 + len(tokenizer.encode(e.target)) for e in examples]
  assert max(prompts) < 128
  assert max(targets) < TASK.max_new_tokens == 128
  assert 55 < np.mean(targets) < 68


def test_training_is_deterministic(path, tmp_path):
  again = tmp_path / 'again.model'
  tokenizers.train(TASK, str(again), num_examples=2000)
  assert path.read_bytes() == again.read_bytes()


def test_vocabulary_too_small(tmp_path):
  with pytest.raises(
    ValueError, match='^cannot train a tokenizer of 50 pieces for word_'
  ):
    tokenizers.train(
      TASK, tmp_path / 'small.model', vocab_size=50, num_examples=50
    )


@pytest.mark.parametrize(
  ('name', 'vocab_size', 'longest_prompt'),
  [('translation', 1500, 64), ('summaries', 1024, 160)],
)
def test_other_tasks_come_back(tmp_path, name, vocab_size, longest_prompt):
  task = tasks.load(name, {})
  path = tmp_path / 'tokenizer.model'
  tokenizers.train(task, path, vocab_size, num_examples=1000)
  tokenizer = tokenizers.load(path)
  assert tokenizer.vocab_size == vocab_size
  examples = task.examples('train', 1500)[1000:] + task.examples('test', 50)
  prompts, targets = [], []
  for example in examples:
    for text in (example.prompt, *example.reference):
      tokens = tokenizer.encode(text)
      assert tokenizers.UNK not in tokens, text
      assert tokenizer.decode(tokens) == text
    prompts.append(len(tokenizer.prompt(example.prompt)))
    targets.append(1 + len(tokenizer.encode(example.target)))
  assert max(prompts) <= longest_prompt
  assert max(targets) <= task.max_new_tokens


def test_a_path_that_cannot_be_written_is_told_before_the_work(
  tmp_path, monkeypatch
):
  monkeypatch.setattr(training, 'sentencepiece', None)
  outside, link = tmp_path / 'outside', tmp_path / 'link'
  outside.write_text('mine')
  link.symlink_to(outside)
  for place in (link, tmp_path):
    with pytest.raises(ValueError, match='is a (link|folder), '):
      tokenizers.train(TASK, place)
  assert outside.read_text() == 'mine'
