"""A pair of tiny random models with the shipped tokenizer, on disk."""

import importlib.resources
import shutil

import jax
import ml_collections

from speccascade.models import checkpoints, gemma


def save(folder):
  """Writes drafter, verifier and tokenizer to `folder`; returns its path."""
  folder.mkdir()
  for seed, (role, width) in enumerate((('drafter', 8), ('verifier', 16))):
    config = gemma.GemmaConfig(
      vocab_size=768,
      num_layers=1,
      embed_dim=width,
      num_heads=2,
      num_kv_heads=1,
      head_dim=8,
      hidden_dim=16,
      attention_pattern=('global',),
    )
    params = jax.jit(gemma.Gemma(config).init)(jax.random.key(seed))
    checkpoints.save(folder / f'{role}.safetensors', config, params)
  shipped = importlib.resources.files('speccascade.pairs') / 'word_problems'
  shutil.copy(str(shipped / 'tokenizer.model'), folder / 'tokenizer.model')
  return str(folder)


def config(pair):
  return ml_collections.ConfigDict(
    dict(
      pair=pair,
      task='word_problems',
      task_args=dict(seed=0),
      split='test',
      num_examples=10,
      max_prompt_tokens=112,
      dtype='float32',
      rules=dict(strict=(), chow=(0.3,), token_v3=(0.2, 0.6)),
      gammas=(1, 3),
      schedules=dict(),
      schedule_gamma=4,
      temperatures=(0.0, 1.0),
      top_ps=(1.0,),
      top_k=0,
      seed=0,
      batch_size=8,
      latency_examples=1,
      trials=2,
    )
  )
