import dataclasses

import numpy as np
import pytest

from speccascade.tasks import example
from speccascade.training import batches, data
from tests.training import sums


def _tokenize(count=50, length=13, **kwargs):
  return data.tokenize(
    sums.Sums(),
    sums.Characters(),
    'train',
    count,
    length,
    **kwargs,
  )


@dataclasses.dataclass(frozen=True)
class _Fixed:
  def example(self, split, index):
    pairs = [('1+2=', '3;'), ('0=', '0'), ('+', '12;')]
    return example.Example(index, *pairs[index], '')


def test_rows_are_bos_prompt_target_eos_and_weigh_the_target():
  examples = data.tokenize(
    _Fixed(), sums.Characters(), 'train', count=3, length=9
  )
  np.testing.assert_array_equal(
    examples.token_ExT,
    [
      [2, 5, 14, 6, 15, 7, 16, 1, 0],
      [2, 4, 15, 4, 1, 0, 0, 0, 0],
      [2, 14, 5, 6, 16, 1, 0, 0, 0],
    ],
  )
  np.testing.assert_array_equal(
    examples.weight_ExT,
    [
      [0, 0, 0, 0, 0, 1, 1, 1, 0],
      [0, 0, 0, 1, 1, 0, 0, 0, 0],
      [0, 0, 1, 1, 1, 1, 0, 0, 0],
    ],
  )
  assert examples.token_ExT.dtype == np.int16


def test_an_encoder_s_inputs_lie_apart():
  examples = data.tokenize(
    _Fixed(), sums.Characters(), 'train', 3, length=5, input_length=6
  )
  np.testing.assert_array_equal(
    examples.input_ExS,
    [[2, 5, 14, 6, 15, 0], [2, 4, 15, 0, 0, 0], [2, 14, 0, 0, 0, 0]],
  )
  np.testing.assert_array_equal(examples.length_E, [5, 3, 2])
  # The start token, which is padding, then the target.
  np.testing.assert_array_equal(
    examples.token_ExT, [[0, 7, 16, 1, 0], [0, 4, 1, 0, 0], [0, 5, 6, 16, 1]]
  )
  np.testing.assert_array_equal(
    examples.weight_ExT, [[0, 1, 1, 1, 0], [0, 1, 1, 0, 0], [0, 1, 1, 1, 1]]
  )
  batch = examples.rows(np.array([2, 0]))
  np.testing.assert_array_equal(batch['length_B'], [2, 5])
  np.testing.assert_array_equal(batch['input_BxS'][0], [2, 14, 0, 0, 0, 0])
  alone = dataclasses.replace(examples, input_ExS=None)
  assert alone.data_hash != examples.data_hash
  with pytest.raises(
    ValueError, match='5 tokens, more than input_length=4; raise inp'
  ):
    data.tokenize(_Fixed(), sums.Characters(), 'train', 3, 5, input_length=4)


def test_a_large_vocabulary_is_not_truncated_to_int16(monkeypatch):
  monkeypatch.setattr(sums.Characters, 'vocab_size', 40_000)
  assert _tokenize(3).token_ExT.dtype == np.int32


def test_too_long_an_example_is_one_line():
  with pytest.raises(
    ValueError, match="example 0 of split 'train' has 8 tokens, more"
  ):
    data.tokenize(_Fixed(), sums.Characters(), 'train', 3, length=7)


def test_too_few_examples_are_told_before_any_is_tokenised():
  class Few(sums.Sums):
    def example(self, split, index):
      if index >= 8:
        raise ValueError(f'there is no example {index}')
      raise AssertionError

  with pytest.raises(ValueError, match='there is no example 9999999'):
    data.tokenize(Few(), sums.Characters(), 'train', 10_000_000, length=13)


def test_workers_and_chunks_do_not_change_the_data(monkeypatch):
  whole = _tokenize(num_workers=1)
  monkeypatch.setattr(data, '_CHUNK', 7)
  shared = _tokenize(num_workers=2)
  np.testing.assert_array_equal(shared.token_ExT, whole.token_ExT)
  np.testing.assert_array_equal(shared.weight_ExT, whole.weight_ExT)
  assert shared.data_hash == whole.data_hash
  assert _tokenize(49).data_hash != whole.data_hash


def test_every_epoch_has_each_example_once_in_its_own_order():
  examples = _tokenize(48)
  examples.token_ExT[:, 0] = np.arange(48)  # Name the rows.
  stream = batches.shuffled(examples, batch_size=6, seed=5)
  epochs = [
    np.concatenate([next(stream)['token_BxT'][:, 0] for _ in range(8)])
    for _ in range(2)
  ]
  for epoch in epochs:
    np.testing.assert_array_equal(np.sort(epoch), np.arange(48))
  assert (epochs[0] != epochs[1]).any()
  again = next(batches.shuffled(examples, batch_size=6, seed=5))
  np.testing.assert_array_equal(again['token_BxT'][:, 0], epochs[0][:6])


def test_batches_resume_at_the_very_next_one():
  examples = _tokenize(50)
  stream = batches.shuffled(examples, batch_size=6, seed=5)
  for _ in range(10):  # Into the second epoch.
    next(stream)
  state = stream.get_state()
  expected = [next(stream) for _ in range(3)]
  resumed = batches.shuffled(examples, batch_size=6, seed=5)
  next(resumed)
  resumed.set_state(state)
  for batch in expected:
    got = next(resumed)
    for name in ('token_BxT', 'weight_BxT'):
      np.testing.assert_array_equal(got[name], batch[name])
