r"""Writes the checkpoints and the references that the tests of parity read.

pip install -e '.[parity]'
python tests/parity/make_fixtures.py

Each folder of tests/parity/fixtures is what `save_pretrained` of transformers
writes of a tiny model whose weights are random, all of them. Beside it is
reference.npz, what that model says in float32 with eager attention:

  token_BxT, length_B: rows, padded with 0; T5's begin with its start token
  logits_RxV: after each token of each row, a row after the other; each row
    was alone in its batch, so nothing was padded
  greedy_BxN: the tokens of most logit that follow each row; those of T5
    follow its start token
  gap_BxN: of each of these, its logit less the second
  input_BxS, input_length_B: what T5's encoder reads

Letters: B rows, S and T tokens of a row, R the tokens of all rows, N greedy
tokens, V vocabulary.
"""

import dataclasses
import itertools
import pathlib
import shutil

import numpy as np
import torch
import transformers

FOLDER = pathlib.Path(__file__).parent / 'fixtures'
LENGTHS = (5, 17, 30)
NEW = 24
_MIN_GAP = 0.01  # Logits; a hundred times what may differ between programs.
_MIN_DISTINCT = 6  # Of the greedy tokens of a row.
_MIN_EFFECT = 0.03  # Logits; of each setting that a fixture is to tell.


@dataclasses.dataclass(frozen=True)
class Fixture:
  """A tiny model.

  Attributes:
    model: class of transformers.
    config: its configuration.
    tells: fields of the configuration, each with another value; logits must
      depend on each, or the fixture could not tell it apart.
    dtype: of the weights that are stored.
    shard: most bytes of a file.
    inputs: lengths of what an encoder reads; None without an encoder.
    lengths: of the rows.
  """

  model: type
  config: transformers.PreTrainedConfig
  tells: dict
  dtype: torch.dtype = torch.float32
  shard: int = 10**6
  inputs: tuple[int, ...] | None = None
  lengths: tuple[int, ...] = LENGTHS


_SIZES = dict(
  vocab_size=64,
  hidden_size=24,
  num_hidden_layers=3,
  num_attention_heads=4,
  num_key_value_heads=2,
  head_dim=6,
  intermediate_size=40,
  max_position_embeddings=128,
)
_T5_SIZES = dict(
  vocab_size=64,
  d_model=24,
  d_kv=8,
  d_ff=40,
  num_layers=2,
  num_decoder_layers=3,
  num_heads=4,
  decoder_start_token_id=0,
)
_GEMMA_3 = dict(
  _SIZES,
  num_hidden_layers=8,
  head_dim=8,
  query_pre_attn_scalar=6,
  sliding_window=4,
  rope_parameters={
    'full_attention': {
      'rope_type': 'linear',
      'factor': 8.0,
      'rope_theta': 1000.0,
    },
    'sliding_attention': {'rope_type': 'default', 'rope_theta': 10.0},
  },
)
_VISION = dict(
  hidden_size=8,
  intermediate_size=8,
  num_hidden_layers=1,
  num_attention_heads=2,
  image_size=28,
  patch_size=14,
)


def _rope(theta):
  return {'rope_type': 'default', 'rope_theta': theta}


def _gemma_3_rope(**changes):
  """The positions of `_GEMMA_3` with others for one kind of layers."""
  return {'rope_parameters': _GEMMA_3['rope_parameters'] | changes}


FIXTURES = {
  'gemma2': Fixture(
    transformers.Gemma2ForCausalLM,
    transformers.Gemma2Config(
      **_SIZES | dict(num_hidden_layers=4),
      query_pre_attn_scalar=10,
      sliding_window=4,
      attn_logit_softcapping=3.0,
      final_logit_softcapping=8.0,
      rope_parameters=_rope(10000.0),
    ),
    dict(
      query_pre_attn_scalar=6,
      sliding_window=5,
      attn_logit_softcapping=None,
      final_logit_softcapping=30.0,
      layer_types=['full_attention', 'sliding_attention'] * 2,
      rope_parameters=_rope(9000.0),
      rms_norm_eps=0.01,
    ),
  ),
  'gemma3_text': Fixture(
    transformers.Gemma3ForCausalLM,
    transformers.Gemma3TextConfig(**_GEMMA_3),
    dict(
      query_pre_attn_scalar=8,
      sliding_window=5,
      layer_types=(['sliding_attention'] * 3 + ['full_attention']) * 2,
      rope_parameters=_gemma_3_rope(full_attention=_rope(1000.0)),
      rms_norm_eps=0.01,
    ),
    dtype=torch.bfloat16,
    shard=30_000,
  ),
  'gemma3': Fixture(
    transformers.Gemma3ForConditionalGeneration,
    transformers.Gemma3Config(
      text_config=_GEMMA_3
      | dict(
        num_hidden_layers=3,
        layer_types=['sliding_attention'] * 2 + ['full_attention'],
      ),
      vision_config=_VISION,
      mm_tokens_per_image=4,
      image_token_index=60,
      boi_token_index=61,
      eoi_token_index=62,
    ),
    {},
    dtype=torch.bfloat16,
  ),
  'qwen2': Fixture(
    transformers.Qwen2ForCausalLM,
    transformers.Qwen2Config(
      **_SIZES, tie_word_embeddings=True, rope_parameters=_rope(1e6)
    ),
    dict(rope_parameters=_rope(1e5), rms_norm_eps=0.01),
    dtype=torch.bfloat16,
  ),
  'qwen2_untied': Fixture(
    transformers.Qwen2ForCausalLM,
    transformers.Qwen2Config(
      **_SIZES | dict(vocab_size=80),
      tie_word_embeddings=False,
      rope_parameters=_rope(1e6),
    ),
    dict(rope_parameters=_rope(1e5), rms_norm_eps=0.01),
  ),
  'qwen3': Fixture(
    transformers.Qwen3ForCausalLM,
    transformers.Qwen3Config(
      **_SIZES | dict(head_dim=8),
      tie_word_embeddings=False,
      rope_parameters=_rope(1e6),
    ),
    dict(rope_parameters=_rope(1e5), rms_norm_eps=0.01),
    shard=20_000,
  ),
  'gemma4_text': Fixture(
    transformers.Gemma4ForCausalLM,
    transformers.Gemma4TextConfig(
      **_SIZES | dict(num_hidden_layers=4, head_dim=8),
      global_head_dim=16,
      num_global_key_value_heads=1,
      attention_k_eq_v=True,
      hidden_size_per_layer_input=0,
      sliding_window=4,
      final_logit_softcapping=8.0,
      layer_types=['sliding_attention', 'full_attention'] * 2,
    ),
    dict(sliding_window=5, final_logit_softcapping=30.0, rms_norm_eps=0.01),
  ),
  'llama': Fixture(
    transformers.LlamaForCausalLM,
    transformers.LlamaConfig(
      **_SIZES,
      tie_word_embeddings=True,
      rms_norm_eps=1e-5,
      rope_parameters=_rope(1e5),
    ),
    dict(rope_parameters=_rope(1e4), rms_norm_eps=0.01),
    dtype=torch.float16,
  ),
  'llama_untied': Fixture(
    transformers.LlamaForCausalLM,
    transformers.LlamaConfig(
      **_SIZES | dict(head_dim=10),
      tie_word_embeddings=False,
      rms_norm_eps=1e-5,
      rope_parameters=_rope(1e4),
    ),
    dict(rope_parameters=_rope(9e3), rms_norm_eps=0.01),
  ),
  # Its config says that the head is tied, as transformers 5 makes it say.
  't5_v1_1': Fixture(
    transformers.T5ForConditionalGeneration,
    transformers.T5Config(
      **_T5_SIZES, feed_forward_proj='gated-gelu', tie_word_embeddings=False
    ),
    dict(
      relative_attention_max_distance=120,
      dense_act_fn='relu',
      scale_decoder_outputs=True,
      layer_norm_epsilon=0.01,
    ),
    inputs=(9, 141, 180),
    lengths=(5, 17, 140),
  ),
  't5': Fixture(
    transformers.T5ForConditionalGeneration,
    transformers.T5Config(
      **_T5_SIZES,
      feed_forward_proj='relu',
      relative_attention_num_buckets=8,
      relative_attention_max_distance=20,
    ),
    dict(
      relative_attention_max_distance=24,
      dense_act_fn='gelu_new',
      scale_decoder_outputs=False,
      layer_norm_epsilon=0.01,
    ),
    inputs=(5, 17, 48),
    lengths=(5, 17, 30),
  ),
}


def main():
  """Writes every folder anew."""
  torch.set_num_threads(1)  # Sums come in one order.
  shutil.rmtree(FOLDER, ignore_errors=True)
  for name, fixture in FIXTURES.items():
    seed, smallest = _write(FOLDER / name, fixture)
    size = sum(x.stat().st_size for x in (FOLDER / name).iterdir())
    print(f'{name}: {size:,} bytes, seed {seed}, smallest gap {smallest:.3f}')


def _write(folder, fixture):
  """Writes a folder with the first seed that tells much."""
  for seed in itertools.count():
    model = _model(fixture, fixture.config)
    _fill(model, seed)
    model.to(fixture.dtype).save_pretrained(
      folder, max_shard_size=fixture.shard
    )
    # Read again: a model that was rounded has rounded wavelengths, too.
    model = fixture.model.from_pretrained(
      folder, dtype=torch.float32, attn_implementation='eager'
    ).eval()
    reference = _reference(model, fixture, seed)
    if _is_telling(reference):
      break
    shutil.rmtree(folder)
  _check_effects(model, fixture, reference)
  np.savez(folder / 'reference.npz', **reference)
  return seed, reference['gap_BxN'].min()


def _is_telling(reference):
  """Whether no greedy token is a near tie, and no row is a few tokens."""
  distinct = [len(set(row)) for row in reference['greedy_BxN'].tolist()]
  return reference['gap_BxN'].min() > _MIN_GAP and min(distinct) > _MIN_DISTINCT


def _model(fixture, config):
  """A model that is ready to run."""
  model = fixture.model._from_config(config, attn_implementation='eager')
  if 'T5' in fixture.model.__name__ and not config.scale_decoder_outputs:
    # transformers 5 ties every T5 that it makes, though v1.1 is not tied.
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.clone())
  return model.to(torch.float32).eval()


@torch.no_grad()
def _fill(model, seed):
  """Draws every parameter, in the order of their names.

  The last norm's scale makes up for the small rows of `_gain`.
  """
  rng = np.random.default_rng(seed)
  scaled = getattr(model.config, 'scale_decoder_outputs', False)
  # Gemma's is 1 + w, up to Gemma 3.
  one = 0 if model.config.model_type.startswith(('gemma2', 'gemma3')) else 1
  scalars = [x for x in model.named_buffers() if x[0].endswith('layer_scalar')]
  for name, x in sorted([*model.named_parameters(), *scalars]):
    drawn = rng.normal(size=x.shape)
    if name.endswith(('model.norm.weight', 'decoder.final_layer_norm.weight')):
      drawn += 5 * x.shape[0] ** (0.5 * scaled)
    elif 'norm' in name or name.endswith('layer_scalar'):
      drawn = one + 0.3 * drawn
    elif name.endswith('.bias'):
      drawn *= 0.3
    elif not name.endswith('relative_attention_bias.weight'):
      drawn *= _gain(name) * x.shape[-1] ** -0.5
    x.copy_(torch.from_numpy(drawn))


def _gain(name):
  """Of a matrix.

  Embeddings are small beside what layers add to them, or a tied model would
  repeat its last token. Attention is sharp, and that of T5 to its own answer
  is strong, or answers would soon be one token.
  """
  if name.endswith(('embed_tokens.weight', 'shared.weight', 'lm_head.weight')):
    return 0.6
  strong = ('q_proj.', 'k_proj.', 'SelfAttention.v.', 'SelfAttention.o.')
  return 2 if any(x in name for x in strong) else 1


def _rows(rng, lengths, vocab_size):
  """Ragged rows without the first ids, which are special."""
  return [rng.integers(3, vocab_size, length) for length in lengths]


def _reference(model, fixture, seed):
  rng = np.random.default_rng([seed, 1])
  V = model.get_input_embeddings().weight.shape[0]
  rows, inputs = _rows(rng, fixture.lengths, V), [None] * len(fixture.lengths)
  told = {}
  if fixture.inputs:
    inputs = _rows(rng, fixture.inputs, V)
    for row in rows:
      row[0] = model.config.decoder_start_token_id
    told = dict(
      input_BxS=_pad(inputs), input_length_B=np.array(fixture.inputs, np.int32)
    )
  logits = [_logits(model, *x) for x in zip(rows, inputs, strict=True)]
  prompts = [row[:1] for row in rows] if fixture.inputs else rows
  greedy = [_greedy(model, *x) for x in zip(prompts, inputs, strict=True)]
  tokens, gaps = zip(*greedy, strict=True)
  return told | dict(
    token_BxT=_pad(rows),
    length_B=np.array(fixture.lengths, np.int32),
    logits_RxV=np.concatenate(logits),
    greedy_BxN=np.array(tokens, np.int32),
    gap_BxN=np.array(gaps, np.float32),
  )


def _pad(rows):
  width = max(map(len, rows))
  return np.array([np.pad(x, (0, width - len(x))) for x in rows], np.int32)


@torch.no_grad()
def _logits(model, row, inputs):
  """Logits after each token of a row, alone and without a cache."""
  token = torch.from_numpy(row)[None]
  if inputs is None:
    return model(token, use_cache=False).logits[0].numpy()
  read = torch.from_numpy(inputs)[None]
  told = model(read, decoder_input_ids=token, use_cache=False)
  return told.logits[0].numpy()


def _greedy(model, row, inputs):
  """(tokens, gaps) of what follows a row."""
  gaps = []
  for _ in range(NEW):
    last_V = _logits(model, row, inputs)[-1]
    second, first = np.sort(last_V)[-2:]
    gaps.append(first - second)
    row = np.append(row, last_V.argmax())
  return row[-NEW:], gaps


def _check_effects(model, fixture, reference):
  """Raises ValueError if another setting gives the same logits."""
  row = reference['token_BxT'][-1].astype(np.int64)
  inputs = None
  if fixture.inputs:
    inputs = reference['input_BxS'][-1].astype(np.int64)
  want = _logits(model, row, inputs)
  for field, value in fixture.tells.items():
    told = fixture.config.to_dict() | {field: value}
    changed = type(fixture.config).from_dict(told)
    setattr(changed, field, value)  # T5's config derives some anew.
    other = _model(fixture, changed)
    other.load_state_dict(model.state_dict())
    effect = np.abs(_logits(other, row, inputs) - want).max()
    if effect < _MIN_EFFECT:
      raise ValueError(f'{field}={value} changes the logits by {effect:.1e}')


if __name__ == '__main__':
  main()
