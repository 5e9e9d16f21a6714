"""Prompts are read in chunks, through the cache that they fill."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from speccascade.models import cache as cache_lib
from speccascade.models import registry

S, NEW, BLOCK = 23, 5, 3
LENGTH_B = np.array([1, 23, 2, 12, 8])
B = len(LENGTH_B)
DECODERS = {
  f'{family.name}-{i}': config
  for family in registry.FAMILIES.values()
  for i, config in enumerate(family.examples)
  if not family.encodes_input
}
pytestmark = pytest.mark.usefixtures('float64')


@pytest.fixture
def chunks_of_2(monkeypatch):
  monkeypatch.setattr(cache_lib, '_CHUNK', 2 * B)
  monkeypatch.setattr(cache_lib, '_SHORT', 2)


def _case(config, dtype='float64'):
  model = registry.make_model(dataclasses.replace(config, dtype=dtype))
  rng = np.random.default_rng(0)
  shapes = jax.eval_shape(model.init, jax.random.key(0))
  params = jax.tree.map(lambda x: 0.5 * rng.normal(size=x.shape), shapes)
  row_BxT = rng.integers(0, model.vocab_size, (B, S + NEW + BLOCK))
  return model, params, row_BxT


def _after_prompts(model, params, row_BxT, length_B):
  """Logits of a block after prompts that other tokens pad."""

  def run(params, row_BxT, length_B):
    pad_BxS = jnp.arange(S) < length_B[:, None]
    prompt_BxS = jnp.where(pad_BxS, row_BxT[:, :S], 3)
    cache, first_B = model.prefill(
      params, prompt_BxS, length_B, new_tokens=NEW, block=BLOCK
    )
    at_BxT = length_B[:, None] + jnp.arange(BLOCK - 1)
    rest_BxT = jnp.take_along_axis(row_BxT, at_BxT, 1)
    block_BxT = jnp.concatenate([first_B[:, None], rest_BxT], 1)
    return model.extend(params, cache, block_BxT)[0]

  return jax.jit(run)(params, row_BxT, length_B)


@pytest.mark.usefixtures('chunks_of_2')
@pytest.mark.parametrize('stacked', [False, True])
@pytest.mark.parametrize('config', DECODERS.values(), ids=DECODERS)
def test_chunks_equal_one_pass(config, stacked):
  """Of ragged prompts; rings of the windows wrap more than once."""
  model, params, row_BxT = _case(config)
  whole_BxTxV = jax.jit(model.forward)(params, row_BxT)
  at_BxT = LENGTH_B[:, None] - 1 + np.arange(BLOCK)
  want = np.take_along_axis(np.asarray(whole_BxTxV), at_BxT[..., None], 1)
  params = model.stack(params) if stacked else params
  got = _after_prompts(model, params, row_BxT, LENGTH_B)
  np.testing.assert_allclose(got, want, rtol=0, atol=1e-10)


@pytest.mark.usefixtures('chunks_of_2')
def test_prompts_of_one_token_are_all_first_tokens():
  """No chunk is read, as the cache is to hold nothing."""
  model, params, row_BxT = _case(DECODERS['gemma2-0'])
  want = jax.jit(model.forward)(params, row_BxT[:, :BLOCK])
  got = _after_prompts(model, params, row_BxT, np.ones(B, int))
  np.testing.assert_allclose(got, want, rtol=0, atol=1e-10)


@pytest.mark.usefixtures('optimised')
def test_no_logits_of_a_prompt_on_itself_and_no_second_cache():
  """In a compiled prefill, whose loop over chunks copies no cache."""
  config = dataclasses.replace(
    DECODERS['gemma2-0'], window=300, context_length=2048
  )
  model = registry.make_model(dataclasses.replace(config, dtype='float32'))
  params = jax.eval_shape(
    lambda key: model.stack(model.init(key)), jax.random.key(0)
  )
  read = jax.jit(
    lambda params, token, length: model.prefill(
      params, token, length, new_tokens=64, block=4
    )
  )
  token = jax.ShapeDtypeStruct((8, 1024), jnp.int32)
  length = jax.ShapeDtypeStruct((8,), jnp.int32)
  text = read.lower(params, token, length).compile().as_text()
  assert re.search(r'f32\[2,8,2,1120,6\]', text)
  assert not re.search(r'\[[\d,]*1024,(?:1024|1120)\]', text)
  loop = text[: text.index('\nENTRY')]
  assert re.search(r'\[2,8,2,1120,6\]\S* dynamic-update-slice\(', loop)
  assert not re.findall(r'\[2,8,2,\d+,6\]\S* (?:copy|pad|gather)\(', loop)
