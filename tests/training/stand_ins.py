"""A task of sums and a tokenizer of characters, small and exact."""

import dataclasses

import ml_collections

from speccascade.models import gemma
from speccascade.tasks import example

_CHARACTERS = '0123456789+=;'


@dataclasses.dataclass(frozen=True)
class Sums:
  max_new_tokens: int = 5

  def example(self, split, index):
    n = 31 * index + (7 if split == 'validation' else 0)
    a, b = n % 5, n // 5 % 13
    target = f'{a + b};' * (1 + n % 2)  # Ragged.
    return example.Example(index, f'{a}+{b}=', target, str(a + b))


class Characters:
  def vocab_size(self):
    return 4 + len(_CHARACTERS)

  def encode(self, texts):
    return [[4 + _CHARACTERS.index(c) for c in text] for text in texts]


def config(**overrides):
  settings = dict(
    name='tiny',
    seed=3,
    batch_size=16,
    num_steps=40,
    log_every=1,
    eval_every=20,
    save_every=10,
    optimizer=dict(
      peak_learning_rate=1e-2,
      warmup_steps=4,
      b1=0.9,
      b2=0.95,
      weight_decay=0.1,
      clip_norm=1.0,
    ),
  )
  return ml_collections.ConfigDict({**settings, **overrides}).lock()


def model():
  return gemma.Gemma(
    gemma.GemmaConfig(
      vocab_size=Characters().vocab_size(),
      num_layers=1,
      attention_pattern=('global',),
      embed_dim=32,
      num_heads=2,
      num_kv_heads=1,
      head_dim=16,
      hidden_dim=64,
    )
  )
