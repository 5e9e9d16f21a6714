"""T5's encoder, compiled for a chip that is not there."""

import functools
import importlib.util

import jax
import jax.numpy as jnp
import pytest

from speccascade.aot import fit, program, traffic
from speccascade.models.t5 import config as t5
from speccascade.models.t5 import layers

pytestmark = [
  pytest.mark.skipif(
    importlib.util.find_spec('libtpu') is None, reason='needs libtpu'
  ),
  pytest.mark.usefixtures('libtpu'),
]
B, S, N, H, LAYERS = 2, 1024, 8, 64, 64
LOGITS = 4 * B * N * S * S  # Bytes of attention, of a layer.


@pytest.fixture(scope='module', params=[1, 4])
def compiled(libtpu, request):
  """(the program that reads inputs in blocks, its text, logits of a block)."""
  del libtpu
  config = t5.T5Config(
    vocab_size=512, num_layers=8, num_decoder_layers=LAYERS, embed_dim=256,
    num_heads=N, head_dim=H, hidden_dim=512, input_length=S, dtype='bfloat16',
  )  # fmt: skip
  own = program.mesh('v5e:1x1', 1)
  like = functools.partial(program._like, own, jnp.int32)
  params = program.shapes(config, own, True)
  with jax.set_mesh(own), pytest.MonkeyPatch.context() as patch:
    patch.setattr(layers, '_LOGITS', LOGITS // 4 // request.param)
    read = jax.jit(functools.partial(layers.read, config))
    made, text = fit.compiled(read.lower(params, like(B, S), like(B)))
  return made, text, LOGITS // request.param


def test_nothing_large_is_laid_out_anew(compiled):
  """Neither biases, as large as a row's logits, nor keys of some layers."""
  _, text, logits = compiled
  own = traffic.Program(text)
  assert own.copies(logits // B // 2, own.module.entry) == []


def test_keys_and_values_are_made_in_their_place(compiled):
  """Beside them there is room for a layer's logits, in their order alone."""
  needs, logits = compiled[0].memory_analysis(), compiled[2]
  memory = 2 * 2 * LAYERS * B * S * N * H
  assert memory <= needs.output_size_in_bytes < 1.01 * memory
  assert needs.temp_size_in_bytes < 1.5 * logits < memory // 2
