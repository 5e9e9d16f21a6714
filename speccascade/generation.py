"""Answers to prompts of one's own: whole, or text by text as it is written.

pair = speccascade.load(drafter='...', verifier='...')
for answer in speccascade.generate(pair, ['Why is the sky blue?']):
print(answer.text)
"""

import dataclasses
from collections.abc import Generator, Sequence
from typing import Any

import jax
import numpy as np
import pydantic

from speccascade import config, methods, pairs, tokenizers
from speccascade.decoding import (
  checks,
  results,
  schedules,
  serving,
)
from speccascade.decoding import loop as loop_lib
from speccascade.decoding import queue as queue_lib
from speccascade.decoding import stream as stream_lib
from speccascade.sampling import keys, probabilities
from speccascade.sweeps import batches

_SLOTS = 64  # Answers at a time, of several samples.
_AT_A_TIME = 2  # Iterations of the loop between two texts.


class Options(config.Schema):
  """How answers are decoded.

  Attributes:
    method: a name of `methods.METHODS`.
    values: of its parameters, in their order; () is the middle one of each
      parameter's examples.
    gamma: draft length, of a method that drafts.
    temperature: of both models.
    top_p: likewise.
    top_k: likewise; 0 keeps all.
    max_new_tokens: most tokens of an answer.
    seed: of all draws.
    samples: answers to each prompt, which is read once.
    stop: strings that an answer ends before.
    chat: whether a prompt is what a user says, to be put into the chat template
      of the tokenizer; None is if there is one.
  """

  method: str = 'token_v3'
  values: tuple[config.Float, ...] = ()
  gamma: config.Gamma = 5
  temperature: config.Temperature = 0.0
  top_p: config.float32(gt=0, le=1) = 1.0
  top_k: config.Count = 0
  max_new_tokens: config.Tokens = 128
  seed: config.Seed = 0
  samples: config.Rows = 1
  stop: tuple[str, ...] = ()
  chat: bool | None = None

  @pydantic.field_validator('stop')
  @classmethod
  def _check_stop(cls, value):
    tokenizers.cut('', value)  # Raises if one is empty.
    return value

  @pydantic.model_validator(mode='after')
  def _check_method(self):
    parameters = methods.get(self.method).parameters
    names = ', '.join(x.name for x in parameters) or 'none'
    if self.values and len(self.values) != len(parameters):
      raise ValueError(
        f'values={self.values}: {self.method} takes {len(parameters)} ({names})'
      )
    try:
      for parameter, value in zip(parameters, self.values, strict=False):
        parameter.check(value, self.method)
    except ValueError as error:
      raise ValueError(f'values={self.values}: {error}') from None
    return self

  @property
  def method_values(self) -> tuple[float, ...]:
    """`values`, or what they are by default."""
    parameters = methods.get(self.method).parameters
    return self.values or tuple(x.examples[1] for x in parameters)


@dataclasses.dataclass(frozen=True)
class Answer:
  """What was written after a prompt.

  Attributes:
    text: up to the first stop string.
    tokens: all that were generated, those of what ended the answer included.
    from_drafter: whether each is an accepted draft; None of methods that do
      not draft.
    drafted: tokens that the drafter wrote, kept or not; likewise.
    verifier_calls: blocks that the verifier scored, the prompt apart; likewise.
  """

  text: str
  tokens: tuple[int, ...]
  from_drafter: tuple[bool, ...] | None = None
  drafted: int | None = None
  verifier_calls: int | None = None


@dataclasses.dataclass(frozen=True)
class Begun:
  """Prompts that are tokenised, and how they are to be answered.

  Attributes:
    pair: Pair.
    options: Options.
    request: Request of a row a prompt.
    loop: of a method that drafts; None of another.
  """

  pair: pairs.Pair
  options: Options
  request: results.Request
  loop: loop_lib.Loop | None


def generate(
  pair: pairs.Pair, prompts: Sequence[str], **options: Any
) -> list[Answer]:
  """Returns answers to several prompts, which are decoded together.

  Those to a prompt, `samples` of them, follow one another.

  Args:
    pair: from `load`.
    prompts: texts.
    **options: of `Options`.

  Raises:
    ValueError: an option is not valid, or a prompt is too long.
  """
  begun = begin(pair, prompts, _options(options))
  result = decode(begun)
  return [_answer(begun, result, row) for row in range(len(result.length_B))]


def stream(
  pair: pairs.Pair, prompt: str, **options: Any
) -> Generator[tuple[str, bool], None, Answer]:
  """Yields the text that each token of an answer adds, as it is written.

  Args:
    pair: from `load`.
    prompt: text.
    **options: of `Options`; the method drafts.

  Yields:
    (text, whether the token is an accepted draft). The texts join to that of
    the answer of `generate`.

  Returns:
    The answer, for `yield from`.

  Raises:
    ValueError: an option is not valid, or the prompt is too long.
  """
  return texts(begin(pair, [prompt], _options(options)))


def texts(begun: Begun) -> Generator[tuple[str, bool], None, Answer]:
  """Answers one prompt; see `stream`."""
  if begun.options.samples > 1:
    raise ValueError(
      f'samples={begun.options.samples}: one answer is shown as it is written; '
      'use generate'
    )
  if begun.loop is None:
    raise ValueError(
      f'method={begun.options.method} does not draft, so that there is nothing '
      'to show before it is done; use generate'
    )
  steps = stream_lib.stream(
    begun.loop, begun.pair.params, begun.request, _AT_A_TIME
  )
  latest, drafted = None, []

  def tokens():
    nonlocal latest
    told = 0
    for latest in steps:
      length = int(latest.length_B[0])
      drafted.extend(np.asarray(latest.from_drafter_BxN)[0, told:length])
      yield from np.asarray(latest.token_BxN)[0, told:length].tolist()
      told = length

  spelled = tokenizers.spell(begun.pair.tokenizer, tokens())
  kept = tokenizers.until(spelled, begun.options.stop)
  for n, text in enumerate(kept):
    if text:
      yield text, bool(drafted[min(n, len(drafted) - 1)])
  return _answer(begun, latest, 0)


def begin(pair: pairs.Pair, prompts: Sequence[str], options: Options) -> Begun:
  """Tokenises prompts, padded to one of few widths.

  Raises:
    ValueError: a prompt is too long, or a draft longer than any answer.
  """
  if isinstance(prompts, str) or not prompts:
    raise ValueError('prompts must be a list of at least one text')
  method, rows = methods.get(options.method), len(prompts)
  models = pair.drafter, pair.verifier
  encoded = _encode(pair, prompts, options)
  checks.check_prompts(encoded, models, options.max_new_tokens)
  request = results.Request(
    encoded,
    probabilities.Sampling(
      np.full(rows, options.temperature),
      np.full(rows, options.top_p),
      top_k=options.top_k,
    ),
    (tuple(np.full(rows, x) for x in options.method_values),),
    keys.make(options.seed),
    stops=batches.stops(pair, options.stop),
  )
  if not method.drafts:
    return Begun(pair, options, request, None)
  if options.gamma > options.max_new_tokens:
    raise ValueError(
      f'gamma={options.gamma} must not exceed max_new_tokens='
      f'{options.max_new_tokens}'
    )
  loop = methods.make_loop(
    models,
    (loop_lib.Group(method, rows),),
    schedules.Plan(options.gamma),
    options.max_new_tokens,
    pair.eos_ids,
  )
  return Begun(pair, options, request, loop)


def decode(begun: Begun) -> results.Result:
  """Answers the prompts."""
  pair, options = begun.pair, begun.options
  if options.samples > 1:
    return _samples(begun)
  if begun.loop is not None:
    return loop_lib.decode(begun.loop, pair.params, begun.request)
  return methods.get(options.method).decode(
    (pair.drafter, pair.verifier),
    pair.params,
    begun.request,
    options.max_new_tokens,
    pair.eos_ids,
  )


def _samples(begun):
  """Several answers to each prompt, in its order."""
  pair, options, request = begun.pair, begun.options, begun.request
  prompts, method = request.prompts, methods.get(options.method)
  P, n = prompts.rows, options.samples
  rows = min(P * n, _SLOTS)
  if begun.loop is None:
    models = pair.drafter, pair.verifier
    decoder, params = method.slots(
      models, pair.params, options.max_new_tokens, pair.eos_ids
    )
  else:
    params = pair.params
    group = loop_lib.Group(method, rows)
    decoder = dataclasses.replace(begun.loop, groups=(group,))
  made = queue_lib.Slots(
    decoder,
    rows,
    width=prompts.token_PxS.shape[1],
    reading=min(P, rows),
    stored=2 * min(P, rows),
    table=rows,
  )
  repeat = lambda x_P: np.repeat(np.asarray(x_P), n)  # noqa: E731
  answers = queue_lib.Answers(
    id_J=np.arange(P * n, dtype=np.int32),
    prompt_J=repeat(np.arange(P, dtype=np.int32)),
    sample_J=np.tile(np.arange(n, dtype=np.int32), P),
    temperature_J=repeat(request.sampling.temperature_B),
    top_p_J=repeat(request.sampling.top_p_B),
    values=tuple(map(repeat, request.values[0])),
    number=np.int32(P * n),
  )
  queue = queue_lib.Queue(
    prompts.token_PxS,
    np.asarray(prompts.length_P, np.int32),
    np.asarray(prompts.example_P, np.int32),
    np.int32(P),
    (answers,),
    request.key,
    stops=request.stops,
    top_k=options.top_k,
  )
  ended = list(serving.serve(made, params, queue))
  order = np.argsort(np.concatenate([own.ids for own in ended]))
  return jax.tree.map(
    lambda *x: np.concatenate(x)[order], *(own.result for own in ended)
  )


def _options(values):
  lists = {k: tuple(x) for k, x in values.items() if isinstance(x, list)}
  return config.parse(Options, values | lists)


def _encode(pair, texts, options):
  tokenizer, chat = pair.tokenizer, options.chat
  if chat is None:
    chat = tokenizer.template is not None
  if chat:
    texts = [
      tokenizer.chat([{'role': 'user', 'content': text}]) for text in texts
    ]
  limit = min(
    model.longest_prompt(options.max_new_tokens)
    for model in (pair.drafter, pair.verifier)
  )
  if limit < 1:
    raise ValueError(
      f'max_new_tokens={options.max_new_tokens} leaves no room for a prompt in '
      f'the context of {pair.name}; lower it'
    )
  token_PxS, length_P = tokenizers.encode_prompts(
    tokenizer, texts, limit, rendered=chat
  )
  spare = min(batches.padded(length_P.max()), limit) - token_PxS.shape[1]
  token_PxS = np.pad(token_PxS, ((0, 0), (0, spare)))
  return results.Prompts(token_PxS, length_P, np.arange(len(texts)))


def _answer(begun, result, row):
  length = int(result.length_B[row])
  tokens = np.asarray(result.token_BxN)[row, :length].tolist()
  text = begun.pair.tokenizer.decode(tokens)
  text = tokenizers.cut(text, begun.options.stop)
  if begun.loop is None:
    return Answer(text, tuple(tokens))
  drafted = np.asarray(result.from_drafter_BxN)[row, :length].tolist()
  return Answer(
    text,
    tuple(tokens),
    tuple(drafted),
    int(result.counts.drafted_B[row]),
    int(result.counts.verifier_calls_B[row]),
  )
