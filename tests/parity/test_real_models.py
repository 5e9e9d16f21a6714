"""Published models: what is computed and written here, and by transformers.

  scripts/fetch_real_models.sh DIR
  SPECCASCADE_REAL_MODELS=DIR python -m pytest -m real tests/parity

DIR holds a folder in the layout of Hugging Face for each of NAMES; those that
are missing are skipped. What transformers says of the hub's weights is computed
anew, with `pip install -e '.[parity]'`. Recorded references,
../shared/tools/reference/NAME.npz, are of weights that were rounded to a few
bits and written as bfloat16: they serve for the files of `_ROUNDED`, known by
their SHA-256, and for no others.

Letters: B rows, S and T tokens of a row, N greedy tokens, C largest logits of a
position, V vocabulary.
"""

import functools
import hashlib
import json
import os
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import speccascade
from speccascade import checkpoints, methods, tokenizers
from speccascade.models import registry
from tests.parity import greedy

pytestmark = [pytest.mark.real, pytest.mark.usefixtures('optimised')]
NAMES = (
  'gemma-3-270m',
  'smollm2-135m-instruct',
  'qwen2.5-coder-0.5b-instruct',
  'qwen2.5-coder-1.5b-instruct',
)
_ROUNDED = {
  'd9df495ac8121f17441f73a45548b59cd75068fbd5e57ed0883c9e4a443fe908',
  '7ef915c9bf9d94d8d70211970476878352a5b95855c589ae987916d7a455242b',
  '99a5b822202b35a0d265d1ebc67665edc2504f5b82dd9babc548fe95ce43f132',
  '47815d3d449e2e87b4e8985e8ede38681ead6a6d466ccb94e6ef8ad95fb59d85',
}
_RECORDED = pathlib.Path(__file__).parents[3] / 'shared/tools/reference'
_PROMPTS = (
  'The capital of France is',
  'def fibonacci(n):\n',
  'A token is kept if the model that verifies would have written it, too. '
  * 40,
)
NEW, BLOCK, LARGEST = 48, 64, 16
TOLERANCE = 1e-3  # Of logits in float32.


def _folder(name):
  """The folder of a model, or skips the test."""
  place = os.environ.get('SPECCASCADE_REAL_MODELS')
  if place is None:
    pytest.skip('SPECCASCADE_REAL_MODELS names no folder')
  folder = pathlib.Path(place) / name
  if not folder.is_dir():
    pytest.skip(f'there is no {folder}')
  return folder


@functools.cache
def _reference(name):
  """{text, ids, top, val, lse, greedy, gap} of each prompt.

  For the T tokens `ids` of `text`: the ids `top_TxC` of the largest logits
  after each, these logits `val_TxC` and the logsumexp `lse_T` of all; and the
  `greedy_N` tokens that follow, `gap_N` by how much each is ahead.
  """
  folder = _folder(name)
  if _is_rounded(folder):
    path = _RECORDED / f'{name}.npz'
    if not path.exists():
      pytest.skip(f'the weights are rounded, and there is no {path}')
    told = np.load(path)
    keys = ('text', 'ids', 'top', 'val', 'lse', 'greedy', 'gap')
    return [{key: told[f'{key}{j}'] for key in keys} for j in range(3)]
  pytest.importorskip('transformers')
  return _computed(folder)


def _is_rounded(folder):
  path = folder / 'model.safetensors'
  if not path.exists():
    return False
  with path.open('rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest() in _ROUNDED


def _computed(folder):
  """What transformers says, in float32 with eager attention."""
  import torch
  import transformers

  tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
  model = transformers.AutoModelForCausalLM.from_pretrained(
    folder, dtype=torch.float32, attn_implementation='eager'
  ).eval()
  model.generation_config.eos_token_id = None  # Nothing ends an answer.
  return [_told(model, tokenizer, text) for text in _PROMPTS]


def _told(model, tokenizer, text):
  import torch

  ids = tokenizer(text, return_tensors='pt')
  with torch.inference_mode():
    logits_TxV = model(**ids).logits[0]
    answer = model.generate(
      **ids,
      do_sample=False,
      max_new_tokens=NEW,
      output_logits=True,
      return_dict_in_generate=True,
    )
  val_TxC, top_TxC = logits_TxV.topk(LARGEST)
  best_Nx2 = torch.cat(answer.logits).topk(2).values
  told = dict(
    ids=ids['input_ids'][0],
    top=top_TxC,
    val=val_TxC,
    lse=logits_TxV.logsumexp(-1),
    greedy=answer.sequences[0, -NEW:],
    gap=best_Nx2[:, 0] - best_Nx2[:, 1],
  )
  return {'text': text} | {key: x.numpy() for key, x in told.items()}


def _model(name):
  config, params = checkpoints.load(_folder(name), stacked=True)
  return registry.make_model(config), params


@pytest.fixture(scope='module', params=NAMES)
def case(request):
  """(reference, model, parameters), of one model at a time."""
  return _reference(request.param), *_model(request.param)


def _prompts(told):
  """(token_BxS, length_B) of the prompts of a reference."""
  rows = [x['ids'] for x in told]
  width = max(map(len, rows))
  padded = [np.pad(x, (0, width - len(x))) for x in rows]
  return np.array(padded, np.int32), np.array(list(map(len, rows)), np.int32)


@functools.partial(jax.jit, static_argnums=(0, 3))
def _begin(model, params, token_BxS, new):
  """The cache of empty rows, of which `extend` is given the first tokens."""
  one_B = jnp.ones(len(token_BxS), jnp.int32)
  return model.prefill(
    params, token_BxS[:, :1], one_B, new_tokens=new, block=BLOCK
  )[0]


@functools.partial(jax.jit, static_argnums=0)
def _read(model, params, cache, token_BxT, top_BxTxC):
  """(val_BxTxC, lse_BxT, cache) of the next block."""
  logits_BxTxV, cache = model.extend(params, cache, token_BxT)
  val_BxTxC = jnp.take_along_axis(logits_BxTxV, top_BxTxC, -1)
  return val_BxTxC, jax.nn.logsumexp(logits_BxTxV, -1), cache


@pytest.mark.parametrize('name', NAMES)
def test_prompts_are_split_likewise(name):
  tokenizer = tokenizers.load(_folder(name))
  for told in _reference(name):
    assert tokenizer.prompt(str(told['text'])) == told['ids'].tolist()


def test_logits(case):
  """Of a ragged batch that is read in blocks."""
  told, model, params = case
  token_BxS, length_B = _prompts(told)
  width = -(-token_BxS.shape[1] // BLOCK) * BLOCK
  token_BxS = np.pad(token_BxS, ((0, 0), (0, width - token_BxS.shape[1])))
  top_BxSxC = np.zeros((*token_BxS.shape, LARGEST), np.int32)
  for row, x in zip(top_BxSxC, told, strict=True):
    row[: len(x['top']), : x['top'].shape[1]] = x['top']
  cache, parts = _begin(model, params, token_BxS, width), []
  for at in range(0, width, BLOCK):
    block = slice(at, at + BLOCK)
    *part, cache = _read(
      model, params, cache, token_BxS[:, block], top_BxSxC[:, block]
    )
    parts.append(jax.device_get(part))
  val_BxSxC, lse_BxS = (np.concatenate(x, 1) for x in zip(*parts, strict=True))
  for x, length, val_SxC, lse_S in zip(
    told, length_B, val_BxSxC, lse_BxS, strict=True
  ):
    got_TxC = val_SxC[:length, : x['val'].shape[1]]
    np.testing.assert_allclose(got_TxC, x['val'], rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(lse_S[:length], x['lse'], rtol=0, atol=TOLERANCE)
    print(f'largest difference: {np.abs(got_TxC - x["val"]).max():.1e}')


def _check_greedy(told, models, params, method, gamma=None):
  """Compares what is certain: tokens before the first near tie."""
  answers = [x['greedy'] for x in told]
  result = greedy.decode(
    models,
    params,
    method,
    _prompts(told),
    NEW,
    greedy.unused(models[1].vocab_size, *answers),
    gamma,
  )
  for x, token_N in zip(told, np.asarray(result.token_BxN), strict=True):
    near_N = np.append(x['gap'] < 2 * TOLERANCE, True)
    certain = int(near_N.argmax())
    assert certain > 4
    np.testing.assert_array_equal(token_N[:certain], x['greedy'][:certain])
  return result


def test_greedy_text(case):
  told, model, params = case
  _check_greedy(told, (None, model), (None, params), methods.VERIFIER_ALONE)


def test_strict_writes_what_the_verifier_does():
  """Of the pair of 0.5 and 1.5 billion parameters."""
  *_, drafter, verifier = NAMES
  told = _reference(verifier)
  models, params = zip(_model(drafter), _model(verifier), strict=True)
  result = _check_greedy(told, models, params, methods.STRICT, gamma=5)
  assert (np.asarray(result.counts.accepted_B) > 0).all()


def test_strict_answers_problems_as_the_verifier_does():
  """Of that pair, whole: 5 problems of GSM8K, token for token."""
  file = _RECORDED.parents[1] / 'data/gsm8k/test.jsonl'
  if not file.exists():
    pytest.skip(f'{file} is not there')
  *_, drafter, verifier = map(_folder, NAMES)
  pair = speccascade.load(drafter=drafter, verifier=verifier)
  lines = file.read_text().splitlines()[:5]
  prompts = [json.loads(line)['question'] for line in lines]
  strict, plain = (
    list(speccascade.generate(pair, prompts, method=name, max_new_tokens=256))
    for name in ('strict', 'verifier_alone')
  )
  assert [x.tokens for x in strict] == [x.tokens for x in plain]
  assert min(len(x.tokens) for x in strict) > 100
  calls = sum(x.verifier_calls for x in strict)
  assert calls < sum(len(x.tokens) for x in strict) / 2
