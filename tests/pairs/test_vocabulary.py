"""V of published models, which their tokenizers do not fill."""

import types

import jax
import pytest

from speccascade import sharding
from speccascade.models.llama import config as llama
from speccascade.pairs import vocabulary


def _common(pieces, rows):
  tokenizer = types.SimpleNamespace(vocab_size=pieces, special_ids=set())
  size = dict(
    num_layers=1, embed_dim=8, num_heads=1, num_kv_heads=1, head_dim=8,
    hidden_dim=8,
  )  # fmt: skip
  models = {
    role: types.SimpleNamespace(
      path=role, config=llama.LlamaConfig(vocab_size=n, **size)
    )
    for role, n in zip(('drafter', 'verifier'), rows, strict=True)
  }
  return vocabulary.common(models, tokenizer, dict.fromkeys(models, False))


@pytest.mark.parametrize(
  ('pieces', 'rows', 'V'),
  [
    (151_665, (151_936, 152_064), 151_680),  # Qwen2.5 0.5B and 7B.
    (151_669, (151_936, 151_936), 151_680),  # Qwen3.
    (262_145, (262_208, 262_208), 262_208),  # Gemma 3 4B and 27B.
    (262_144, (262_144, 262_208), 262_144),
    (256_000, (256_000, 256_000), 256_000),  # Gemma 2.
    (128_256, (128_256, 128_256), 128_256),  # Llama 3.
    (32_100, (32_128, 32_128), 32_128),  # T5.
    (32_100, (32_100, 32_128), 32_100),
    (768, (780, 768), 768),
    (60, (64, 70), 64),
  ],
)
def test_padding_stays_up_to_a_multiple_of_128(pieces, rows, V):
  assert _common(pieces, rows) == (pieces, V)


@pytest.mark.skipif(jax.device_count() < 8, reason='needs 8 devices')
@pytest.mark.parametrize(
  'V', [151_680, 262_208, 262_144, 256_000, 128_256, 32_128, 768]
)
def test_devices_divide_what_stays(V):
  with jax.set_mesh(sharding.make_mesh(1, 8, jax.devices()[:8])):
    assert sharding.own_shape((V, 8), sharding.TABLE) == (V // 8, 8)
