"""Answers to prompts of one's own."""

import numpy as np
import pytest

import speccascade
from speccascade import generation, pairs
from tests.sweeps import tiny_pair

SEED = 25  # Of which no answer is short.
PROMPTS = [
  'The first 12.\n',
  'Tom has 3 pens and gives 2 away.\n',
  'How many?\n',
]


@pytest.fixture(scope='module')
def pair(tmp_path_factory):
  return pairs.load(tiny_pair.save(tmp_path_factory.mktemp('tiny') / 'pair'))


def _options(**changes):
  settings = dict(gamma=3, max_new_tokens=12, temperature=1.0, seed=SEED)
  return settings | changes


@pytest.fixture(scope='module')
def answers(pair):
  return speccascade.generate(pair, PROMPTS, **_options())


def test_answers_tell_text_tokens_and_authors(pair, answers):
  assert len(answers) == 3
  for answer in answers:
    assert answer.text == pair.tokenizer.decode(answer.tokens)
    assert 1 <= len(answer.tokens) == len(answer.from_drafter) <= 12
    assert 1 <= answer.verifier_calls <= len(answer.tokens)
    assert sum(answer.from_drafter) <= answer.drafted
  assert len({answer.tokens for answer in answers}) == 3


def test_a_stream_joins_to_the_answer(pair, answers):
  for prompt, answer in zip(PROMPTS, answers, strict=True):
    ended = []

    def texts(prompt=prompt, ended=ended):
      ended.append((yield from speccascade.stream(pair, prompt, **_options())))

    # The first prompt alone is the first example, of whose draws they are.
    same = prompt is PROMPTS[0]
    assert (''.join(text for text, _ in texts()) == answer.text) == same
    assert (ended == [answer]) == same


def test_who_wrote_what_is_told_token_by_token(pair, answers):
  (answer,) = speccascade.generate(pair, PROMPTS[:1], **_options())
  assert answer == answers[0]  # Whatever is decoded beside it.
  stream = speccascade.stream(pair, PROMPTS[0], **_options())
  spelled = list(generation.tokenizers.spell(pair.tokenizer, answer.tokens))
  want = [
    (text, drafted)
    for text, drafted in zip(spelled, answer.from_drafter, strict=False)
    if text
  ]
  assert list(stream) == want


def test_answers_end_before_a_stop_string(pair, answers):
  whole = answers[0].text
  stop = whole[len(whole) // 2 :][:2]
  options = _options(stop=[stop])
  cut = whole[: whole.index(stop)]
  (answer,) = speccascade.generate(pair, PROMPTS[:1], **options)
  assert answer.text == cut
  n = len(answer.tokens)
  assert n < len(answers[0].tokens)
  assert answer.tokens == answers[0].tokens[:n]
  assert stop in pair.tokenizer.decode(answer.tokens)
  assert stop not in pair.tokenizer.decode(answer.tokens[:-1])
  stream = speccascade.stream(pair, PROMPTS[0], **options)
  assert ''.join(text for text, _ in stream) == cut


def test_strict_writes_what_the_verifier_writes(pair):
  options = _options(method='strict', temperature=0.0)
  strict = speccascade.generate(pair, PROMPTS, **options)
  options |= {'method': 'verifier_alone'}
  alone = speccascade.generate(pair, PROMPTS, **options)
  assert [x.tokens for x in strict] == [x.tokens for x in alone]
  assert alone[0].from_drafter is alone[0].verifier_calls is None


def test_a_prompt_is_put_into_the_template_of_a_chat(pair, monkeypatch):
  class Template:
    def render(self, messages, **_):
      (message,) = messages
      return f'<s>{message["role"]}: {message["content"]}'

  chatty = pair.tokenizer.__class__(
    **{
      name: getattr(pair.tokenizer, name)
      for name in pair.tokenizer.__dataclass_fields__
    }
    | {'template': Template()}
  )
  pair = pairs.dataclasses.replace(pair, tokenizer=chatty)

  def tokens(**changes):
    options = generation.Options(max_new_tokens=8, **changes)
    prompts = generation.begin(pair, PROMPTS, options).request.prompts
    return [
      row[:n].tolist()
      for row, n in zip(prompts.token_PxS, prompts.length_P, strict=True)
    ]

  text = 'user: How many?\n'
  rendered = [*chatty.beginning, *chatty.encode(text)]
  assert tokens()[2] == tokens(chat=True)[2] == rendered
  assert tokens(chat=False)[2] == chatty.prompt('How many?\n')


@pytest.mark.parametrize(
  ('options', 'line'),
  [
    (dict(method='oracle'), "unknown method 'oracle'"),
    (dict(values=(2.0,)), 'alpha=2 is out of range for token_v3'),
    (dict(values=[0.1, 0.2]), r'token_v3 takes 1 \(alpha\)'),
    (dict(gamma=13), 'gamma=13 must not exceed max_new_tokens=12'),
    (dict(temperature=-1.0), 'temperature=-1.0: '),
    (dict(top_p=0.0), 'top_p=0.0: '),
    (dict(max_new_tokens=2**17), 'leaves no room for a prompt'),
    (dict(wings=2), 'unknown config field wings'),
    (dict(chat=True), 'has no chat template'),
    (dict(stop=['']), 'stop strings must be'),
  ],
)
def test_a_wrong_option_is_one_line(pair, options, line):
  with pytest.raises(ValueError, match=line) as error:
    speccascade.generate(pair, PROMPTS, **_options(**options))
  assert '\n' not in str(error.value)


def test_prompts_are_texts(pair):
  for prompts in ('Nine?', []):
    with pytest.raises(ValueError, match='a list of at least one text'):
      speccascade.generate(pair, prompts)
  with pytest.raises(ValueError, match='does not draft, so that there is'):
    next(speccascade.stream(pair, 'Nine?', method='verifier_alone'))


def test_the_package_has_what_it_lists():
  assert {getattr(speccascade, name) for name in speccascade.__all__} == {
    generation.generate,
    generation.stream,
    pairs.load,
  }
  with pytest.raises(AttributeError, match="no attribute 'wings'"):
    speccascade.wings  # noqa: B018


def test_prompts_of_many_lengths_share_few_widths(pair):
  options = generation.Options(max_new_tokens=8)
  widths = {
    generation.begin(
      pair, ['pen ' * n], options
    ).request.prompts.token_PxS.shape[1]
    for n in np.arange(1, 60, 3)
  }
  assert widths <= {32, 64, 96, 128}


@pytest.mark.parametrize(
  'method',
  [
    'token_v3',
    *(
      pytest.param(name, marks=pytest.mark.thorough)
      for name in ('verifier_alone', 'sequence_mean')
    ),
  ],
)
def test_several_samples_of_each_prompt(pair, method):
  options = _options(method=method)
  one = speccascade.generate(pair, PROMPTS, **options)
  three = speccascade.generate(pair, PROMPTS, samples=3, **options)
  assert len(three) == 9
  assert three[::3] == one
  assert len({answer.tokens for answer in three}) == 9
  # Whatever their number.
  assert (
    three[1::3]
    == speccascade.generate(pair, PROMPTS, samples=2, **options)[1::2]
  )


def test_samples_that_cannot_be_are_refused(pair):
  with pytest.raises(ValueError, match='samples=2: one answer is shown'):
    next(speccascade.stream(pair, PROMPTS[0], **_options(samples=2)))
