"""Batches, their widths and their programs."""

import types

import numpy as np
import pytest

from speccascade import tokenizers
from speccascade.decoding import schedules
from speccascade.methods import choice as choice_lib
from speccascade.sweeps import batches, points
from speccascade.tasks.example import Example
from tests.tokenizers import folders


def test_there_are_few_widths_and_little_is_padded():
  widths = [batches.padded(length) for length in range(1, 8193)]
  assert sorted(set(widths)) == [
    32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096,
    6144, 8192,
  ]  # fmt: skip
  for length, width in enumerate(widths, 1):
    assert length <= width < max(1.5 * length, length + 32)


def _workload(lengths):
  return types.SimpleNamespace(length_E=np.array(lengths))


def _by_width(lengths, index_E, size):
  return [
    (index_P.tolist(), count, width)
    for index_P, count, width in batches.by_width(
      _workload(lengths), index_E, size
    )
  ]


def test_prompts_of_a_batch_share_a_width_and_what_is_left_goes_up():
  lengths = [300] * 10 + [20] * 9 + [90] * 4
  # Narrow prompts have a width, as there are enough; two of them are left.
  assert _by_width(lengths, range(23), 3) == [
    ([10, 11, 12], 3, 128),
    ([13, 14, 15], 3, 128),
    ([16, 17, 18], 3, 128),
    ([19, 20, 21], 3, 128),
    ([22, 0, 1], 3, 384),
    ([2, 3, 4], 3, 384),
    ([5, 6, 7], 3, 384),
    ([8, 9, 8], 2, 384),
  ]
  # In the order that is asked for, of those alone that are.
  assert _by_width(lengths, [22, 10, 5], 2) == [
    ([22, 10], 2, 128),
    ([5, 5], 1, 384),
  ]


def test_a_width_of_few_prompts_is_not_used():
  lengths = [100] * 7 + [200] * 5 + [700]
  assert {width for *_, width in _by_width(lengths, range(13), 2)} == {768}
  assert {width for *_, width in _by_width(lengths, range(13), 1)} == {
    128, 256, 768,
  }  # fmt: skip


def test_a_long_prompt_does_not_widen_the_others():
  lengths = [100] * 7 + [300] * 5 + [4000] * 2
  assert _by_width(lengths, range(14), 4) == [
    ([0, 1, 2, 3], 4, 384),
    ([4, 5, 6, 7], 4, 384),
    ([8, 9, 10, 11], 4, 384),
    ([12, 13], 2, 4096),
  ]
  assert _by_width(lengths, range(13), 8)[1:] == [
    ([8, 9, 10, 11, 8, 9, 10, 11], 4, 384),
    ([12], 1, 4096),
  ]
  assert _by_width([4000, 100], [0], 8) == [([0] * 8, 1, 4096)]


def test_narrow_prompts_are_not_told_apart():
  lengths = [10] * 50 + [40] * 50 + [90] * 50
  assert {width for *_, width in _by_width(lengths, range(150), 2)} == {96}


def test_in_slots_a_width_saves_half_of_a_cache_or_has_no_program():
  lengths = [100] * 50 + [300] * 50 + [700] * 50
  widths = lambda held: set(  # noqa: E731
    batches.width_E_of(_workload(lengths), 50, held).tolist()
  )
  assert widths(None) == {128, 384, 768}
  assert widths(0) == {128, 384, 768}
  assert widths(60) == {128, 768}  # 2 * (384 + 60) > 768 + 60.
  assert widths(512) == {128, 768}
  assert widths(513) == {768}


@pytest.mark.parametrize('seed', range(5))
def test_every_example_counts_once(seed):
  rng = np.random.default_rng(seed)
  lengths = rng.integers(1, 1000, 200)
  index_E = rng.permutation(200)[:120]
  size = int(rng.integers(1, 9))
  found = _by_width(lengths, index_E, size)
  counted = [e for index_P, count, _ in found for e in index_P[:count]]
  assert sorted(counted) == sorted(index_E)
  for index_P, _, width in found:
    assert len(index_P) == size
    assert lengths[index_P].max() <= width
  # All batches but one are full.
  assert sum(size - count for _, count, _ in found) < size


@pytest.mark.parametrize(
  ('settings', 'rows', 'sizes'),
  [
    (9, 4, [3, 3, 3]),
    (4, 4, [4]),
    (5, 4, [3, 2]),
    (36, 2, [2] * 18),
  ],
)
def test_settings_beyond_a_batch_are_decoded_in_equal_parts(
  settings, rows, sizes
):
  parts = list(batches.parts(list(range(settings)), rows))
  assert [len(part) for part in parts] == sizes
  assert sum(parts, []) == list(range(settings))


def _setting(method, *values, temperature=1.0):
  return points.Setting(method, values, temperature, 1.0, 0, 0)


def test_calls_that_share_a_program_are_known():
  some = [_setting('strict'), _setting('chow', 0.1), _setting('chow', 0.2)]
  plan = schedules.Plan(4, 'confidence', 0.3)
  program = batches.program(some, plan, 2, 64)
  other = [_setting('strict'), _setting('chow', 0.5), _setting('chow', 0.6)]
  again = schedules.Plan(4, 'confidence', 0.6)
  assert batches.program(other, again, 2, 64) == program
  assert batches.program(other, again, 3, 64) != program
  assert batches.program(other, again, 2, 96) != program
  assert batches.program(other, schedules.Plan(4), 2, 64) != program
  assert batches.program(some[:2], plan, 2, 64) != program
  warm = [_setting(s.method, *s.values, temperature=0.7) for s in some]
  assert batches.program(warm, plan, 2, 64) != program
  choice = choice_lib.Choice(tuple(s.of for s in some[:2]))
  of_any = [batches.program([s], plan, 1, 64, choice) for s in some]
  assert len(set(of_any)) == 1


@pytest.mark.parametrize(
  ('temperatures', 'asked'),
  [((0.0, 0.0), 'best'), ((1.0, 1.0), 'plain'), ((1.0, 0.0), 'tempered')],
)
def test_a_batch_asks_for_what_its_own_rows_do(temperatures, asked):
  """And what is timed does not hang on the other samplings of a sweep."""
  settings = [_setting('strict', temperature=x) for x in temperatures]
  config = types.SimpleNamespace(vocab_size=9)
  pair = types.SimpleNamespace(
    tokenizer=None, verifier=types.SimpleNamespace(config=config)
  )
  task = types.SimpleNamespace(stop=())
  workload = types.SimpleNamespace(pair=pair, task=task, asked='any')
  prompts = types.SimpleNamespace(length_P=np.ones(3))
  _, request = batches._asked(workload, prompts, settings, None, None)
  assert request.sampling.asked == asked
  assert (
    request.sampling.temperature_B.tolist()
    == np.repeat(temperatures, 3).tolist()
  )


def _examples(*documents):
  return [
    Example(i, f'Of <{x}>: why?', 'a', 'a', x) for i, x in enumerate(documents)
  ]


@pytest.mark.parametrize('chat', [True, False, None])
def test_the_question_after_a_document_that_is_cut_is_kept(tmp_path, chat):
  tokenizer = tokenizers.load(folders.write(tmp_path))
  task = types.SimpleNamespace(name='t', chat=chat, max_input_tokens=60)
  examples = _examples('abc', 'x' * 500, 'def')
  rendered, texts = batches.prompt_texts(tokenizer, task, examples, 60)
  assert rendered == (chat is not False)
  token_ExS, length_E = tokenizers.encode_prompts(
    tokenizer, texts, 60, rendered=rendered
  )
  assert length_E[1] == 60 > length_E[0]
  assert '<abc>: why?' in texts[0]
  assert 'x>: why?' in texts[1]
  if rendered:
    assert texts[1].endswith('<|im_start|>assistant\n')
  whole = types.SimpleNamespace(name='t', chat=chat, max_input_tokens=None)
  _, texts = batches.prompt_texts(tokenizer, whole, examples, 60)
  assert 'x' * 500 in texts[1]


def test_a_prompt_without_room_for_its_document_is_named(tmp_path):
  tokenizer = tokenizers.load(folders.write(tmp_path))
  task = types.SimpleNamespace(name='t', chat=False, max_input_tokens=9)
  message = r'^example 0 of t: .* no room in 8; raise task_args\.max_input_tok'
  with pytest.raises(ValueError, match=message):
    batches.prompt_texts(tokenizer, task, _examples('abc'), 9)


@pytest.mark.parametrize(('most', 'told'), [(2**31 - 1, False), (48, True)])
def test_documents_that_models_cut_are_told(tmp_path, caplog, most, told):
  tokenizer = tokenizers.load(folders.write(tmp_path))
  task = types.SimpleNamespace(
    name='t', chat=False, max_input_tokens=60, max_new_tokens=5
  )
  task.examples = lambda split, number: _examples('abc', 'x' * 500, 'def')
  models = [
    types.SimpleNamespace(longest_prompt=lambda N, most=x: most)
    for x in (2**31 - 1, most)
  ]
  pair = types.SimpleNamespace(
    name='p', tokenizer=tokenizer, drafter=models[0], verifier=models[1]
  )
  load = batches.load(pair, task, 'test', 3)
  assert load.length_E.max() == load.token_ExS.shape[1] == min(most, 60)
  assert ('longer documents' in caplog.text) == told
  assert ('48 tokens in pair p, not for 60' in caplog.text) == told
