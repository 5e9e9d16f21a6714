"""Every family reads the published config.json, and refuses what it must."""

import dataclasses
import re

import jax
import numpy as np
import pytest
from etils import epath
from flax import traverse_util

from speccascade.checkpoints import layout
from speccascade.checkpoints import tensors as tensors_lib
from speccascade.models import registry
from speccascade.models.gemma2 import config as gemma2
from speccascade.models.gemma3 import config as gemma3
from speccascade.models.gemma4 import config as gemma4
from speccascade.models.llama import config as llama
from speccascade.models.qwen2 import config as qwen2
from speccascade.models.qwen3 import config as qwen3
from speccascade.models.t5 import config as t5
from tests.models import published

_MODULES = (gemma2, gemma3, gemma4, llama, qwen2, qwen3, t5)
_PRESETS = {k: v for module in _MODULES for k, v in vars(module).items()}
# One of each family, and both ways in which Gemma 3 and T5 are told.
_KINDS = {
  name: published.FIELDS.get(name) or published.NEWER[name]
  for name in (
    'gemma2_9b', 'gemma3_1b', 'gemma3_4b', 'gemma4_31b', 'qwen2_5_0_5b',
    'qwen3_8b', 'smollm2_135m', 't5_small', 't5_v1_1_small',
  )
}  # fmt: skip
_NEWER_KINDS = {f'{k}-newer': x for k, x in published.NEWER.items()}
_EXAMPLES = {
  f'{family.name}-{i}': (family, config)
  for family in registry.FAMILIES.values()
  for i, config in enumerate(family.examples)
}
_TABLES = {'t5': 'shared.weight'}
for_each_example = pytest.mark.parametrize(
  ('family', 'config'), _EXAMPLES.values(), ids=_EXAMPLES
)


def _read(fields, tensors=()):
  """The configuration that a config.json tells."""
  for family in registry.FAMILIES.values():
    form = family.formats['hugging_face']
    if fields['model_type'] in form.kinds:
      settings = form.settings(fields, dict(tensors))
      return _whole(registry.make_config(family.name, **settings))
  raise AssertionError(fields['model_type'])


def _whole(config):
  """With the depth of a decoder that has that of its encoder."""
  if isinstance(config, t5.T5Config):
    return dataclasses.replace(config, num_decoder_layers=config.decoder_layers)
  return config


def _refused(fields, message, tensors=()):
  with pytest.raises(ValueError, match=message) as e:
    _read(fields, tensors)
  assert str(e.value).isprintable()
  assert len(str(e.value)) < 300


@pytest.mark.parametrize('name', published.FIELDS)
def test_a_published_file_tells_its_preset(name):
  want = dataclasses.replace(_PRESETS[name](), dtype='float32')
  assert _read(published.FIELDS[name]) == _whole(want)


@pytest.mark.parametrize('name', published.NEWER)
def test_a_file_of_transformers_5_tells_the_same(name):
  want = dataclasses.replace(_PRESETS[name](), dtype='float32')
  assert _read(published.NEWER[name]) == _whole(want)


def test_every_preset_was_published():
  sizes = r'(gemma\d|qwen\d|smollm2|t5)_\w+'
  presets = {name for name in _PRESETS if re.fullmatch(sizes, name)}
  assert presets == published.FIELDS.keys() | published.NEWER.keys()


@for_each_example
def test_what_is_written_is_read_again(family, config):
  form = family.formats['hugging_face']
  fields = form.fields(config) | {'model_type': form.kinds[0]}
  if family.encodes_input:  # Of which no field is.
    config = dataclasses.replace(config, input_length=2**31 - 1)
  assert _read(fields) == _whole(config)


@pytest.mark.parametrize('name', [*published.FIELDS, *published.NEWER])
def test_what_is_written_of_a_preset_is_read_again(name):
  config = dataclasses.replace(_PRESETS[name](), dtype='float32')
  form = registry.family_of(config).formats['hugging_face']
  fields = form.fields(config) | {'model_type': form.kinds[0]}
  assert _read(fields) == _whole(config)


def _scaling(kind):
  return {'rope_scaling': {'rope_type': kind, 'factor': 8.0}}


_LOCAL, _GLOBAL = 'sliding_attention', 'full_attention'


@pytest.mark.parametrize(
  ('name', 'changes', 'message'),
  [
    ('smollm2_135m', _scaling('llama3'), "rope_type='llama3' is not"),
    ('smollm2_135m', _scaling('dynamic'), "'dynamic' is not supported"),
    ('smollm2_135m', {'rope_scaling': {'type': 'ntk'}}, "'ntk' is not"),
    ('smollm2_135m', _scaling('linear'), "'linear' is not supported in this"),
    ('smollm2_135m', {'rope_scaling': 'yarn'}, "rope_scaling='yarn' must be"),
    ('smollm2_135m', {'rope_interleaved': True}, 'field rope_interleaved=True'),
    ('smollm2_135m', {'hidden_act': 'gelu'}, "hidden_act='gelu' is not"),
    ('smollm2_135m', {'attention_bias': True}, 'attention_bias=True is not'),
    ('smollm2_135m', {'mlp_bias': True}, 'mlp_bias=True is not supported'),
    ('smollm2_135m', {'head_dim': 63}, 'head_dim=63 must be a multiple of 2'),
    ('qwen2_5_7b', {'hidden_size': '3584'}, "^hidden_size='3584' must be a n"),
    ('qwen2_5_7b', {'hidden_size': True}, '^hidden_size=True must be a number'),
    ('qwen2_5_7b', {'rope_theta': [1e6]}, r'^rope_theta=\[1000000.0\] must be'),
    ('qwen2_5_7b', {'tie_word_embeddings': 'x'}, "tied_embeddings='x'"),
    ('qwen2_5_7b', _scaling('yarn'), "rope_type='yarn' is not supported"),
    ('qwen2_5_7b', {'use_sliding_window': True}, 'use_sliding_window=True is'),
    ('qwen2_5_7b', {'layer_types': [_LOCAL] * 28}, 'has sliding_attention'),
    ('qwen2_5_7b', {'layer_types': ['far'] * 28}, "layer_types has 'far'"),
    ('qwen2_5_7b', {'layer_types': [[]] * 28}, r'layer_types has \[\]'),
    ('qwen2_5_7b', {'num_experts': 60}, 'unknown field num_experts=60'),
    ('qwen3_8b', {'num_experts_per_tok': 8}, 'field num_experts_per_tok=8'),
    ('qwen3_8b', {'decoder_sparse_step': 1}, 'field decoder_sparse_step=1'),
    (
      'qwen3_8b',
      {'rope_parameters': {'rope_type': 'yarn', 'rope_theta': 1e6}},
      "rope_type='yarn' is not supported",
    ),
    (
      'qwen3_8b',
      {'rope_parameters': {'rope_theta': 1e6, 'mscale': 2.0}},
      'mscale=2.0 of rope is not supported',
    ),
    (
      'qwen3_8b',
      _scaling('yarn') | {'rope_parameters': {'rope_theta': 1e6}},
      'rope_scaling=.* and rope_parameters differ; take one out',
    ),
    ('gemma2_9b', {'tie_word_embeddings': False}, 'tie_word_embeddings=False'),
    ('gemma2_9b', _scaling('linear'), "'linear' is not supported in this"),
    ('gemma2_9b', {'layer_types': [_GLOBAL] * 3}, 'does not tell one kind a'),
    ('gemma2_9b', {'hidden_act': 'gelu'}, "hidden_act='gelu' is not"),
    ('gemma3_1b', {'attn_logit_softcapping': 50.0}, 'softcapping=50.0 is not'),
    (
      'gemma3_1b',
      {'layer_types': [_LOCAL, _GLOBAL, _GLOBAL] + [_LOCAL] * 23},
      'layer_types is not supported: .*layer 1, every 2th layer',
    ),
    (
      'gemma3_1b',
      {'rope_parameters': {_GLOBAL: {'rope_theta': 1e6}}},
      'rope_parameters of sliding_attention=None must be an object',
    ),
    ('gemma3_1b', _scaling('yarn'), "'yarn' is not supported, only 'default'"),
    ('gemma3_1b', {'use_bidirectional_attention': True}, 'attention=True is'),
    ('gemma3_4b', {'text_config': 3}, 'text_config=3 must be an object'),
    ('gemma4_31b', {'enable_moe_block': True}, 'enable_moe_block=True is not'),
    ('gemma4_31b', {'num_kv_shared_layers': 18}, 'shared_layers=18 is not'),
    ('gemma4_31b', {'hidden_size_per_layer_input': None}, 'input=256 is not'),
    ('gemma4_31b', {'use_bidirectional_attention': 'all'}, "'all' is not"),
    ('gemma4_31b', {'use_double_wide_mlp': True}, 'wide_mlp=True is not'),
    (
      'gemma4_31b',
      {'per_layer_config': {'05': {'head_dim': 512}}},
      'per_layer_config must tell of the global layers',
    ),
    (
      'gemma4_31b',
      {
        'rope_parameters': {
          _GLOBAL: {'rope_type': 'proportional', 'factor': 8.0},
          _LOCAL: {},
        }
      },
      'factor=8.0 of rope is not supported',
    ),
    (
      'gemma4_31b',
      {
        'rope_parameters': {
          _GLOBAL: {'rope_type': 'proportional', 'partial_rotary_factor': 1.5},
          _LOCAL: {},
        }
      },
      'partial_rotary_factor=1.5 must be above 0 and at most 1',
    ),
    ('t5_small', {'feed_forward_proj': 'gated-silu'}, "'gated-silu' is not"),
    ('t5_small', {'dense_act_fn': 'silu'}, "dense_act_fn='silu' is not"),
    ('t5_small', {'tie_word_embeddings': 'no'}, "tied_embeddings='no'"),
    ('t5_small', {'relative_attention_num_buckets': 6}, 'num_buckets=6 must'),
  ],
)  # fmt: skip
def test_what_would_change_the_result_is_refused_by_name(
  name, changes, message
):
  fields = published.FIELDS.get(name) or published.NEWER[name]
  _refused(fields | changes, message)


@pytest.mark.parametrize('name', _KINDS)
def test_what_no_family_knows_is_refused_by_name(name):
  fields = _KINDS[name]
  _refused(fields | {'wings': 2}, 'unknown field wings=2, which may change')
  quantised = {'quantization_config': {'quant_method': 'gptq', 'bits': 4}}
  _refused(fields | quantised, "unknown field quantization_config={'quant")
  assert _read(fields | {'wings': False, 'tail': None}) == _read(fields)


@pytest.mark.parametrize(
  ('name', 'field'),
  [
    ('qwen3_8b', 'hidden_size'),
    ('qwen3_8b', 'rms_norm_eps'),
    ('smollm2_135m', 'vocab_size'),
    ('smollm2_135m', 'max_position_embeddings'),
    ('t5_small', 'd_model'),
    ('t5_small', 'num_layers'),
  ],
)
def test_what_is_missing_is_named(name, field):
  fields = {k: v for k, v in _KINDS[name].items() if k != field}
  _refused(fields, f'^it has no field {field}$')
  _refused(fields | {field: None}, f'^it has no field {field}$')


def _changed(fields, value):
  """(name, fields with that one changed) of all, those of the text too."""
  for name in fields.keys() - {'model_type'}:
    yield name, fields | {name: value}
  if 'text_config' in fields:
    for name, text in _changed(fields['text_config'], value):
      yield name, fields | {'text_config': text}


def _told(fields):
  """The configuration, or in what words it was refused."""
  try:
    return _read(fields)
  except ValueError as error:
    return str(error)


@pytest.mark.parametrize('name', [*_KINDS, *_NEWER_KINDS])
def test_values_of_other_types_are_one_line_or_change_nothing(name):
  fields = (_KINDS | _NEWER_KINDS)[name]
  want, refused = _read(fields), set()
  for value in ('x', '26', [3], {'a': 1}, float('nan'), float('inf')):
    for changed, other in _changed(fields, value):
      told = _told(other)
      if isinstance(told, str):
        assert told.isprintable(), (changed, value)
        refused.add(changed)
      else:
        assert told == want, (changed, value)
  assert len(refused) > 5
  for value in (-1, 0.5, 2**40, 10**400, True):
    for changed, other in _changed(fields, value):
      told = _told(other)
      assert not isinstance(told, str) or told.isprintable(), (changed, value)


def test_a_depth_that_none_has_is_refused_at_once():
  for name, field in (
    ('gemma2_9b', 'num_hidden_layers'),
    ('t5_3b', 'num_layers'),
  ):
    _refused(published.FIELDS[name] | {field: 10**9}, 'num_layers=1000000000')


def test_gemma_2_without_caps():
  caps = dict(attn_logit_softcapping=None, final_logit_softcapping=None)
  config = _read(published.FIELDS['gemma2_2b'] | caps)
  assert (config.attention_cap, config.final_cap) == (None, None)


def test_gemma_2_of_another_pattern():
  kinds = [_LOCAL, _LOCAL, _GLOBAL] * 8 + [_LOCAL] * 2
  config = _read(published.FIELDS['gemma2_2b'] | {'layer_types': kinds})
  assert config.attention_pattern == ('local', 'local', 'global')


def _tensors(**arrays):
  return {
    name: tensors_lib.Tensor(
      name, epath.Path('x'), x.shape, x.dtype, (2, x.shape[1]), x.__getitem__
    )
    for name, x in arrays.items()
  }


def _head(kind, differs=False, rows=5):
  """Tensors of a file that has a head, beside the embeddings."""
  table = np.arange(15.0).reshape(5, 3).astype(np.float32)
  head = np.resize(table, (rows, 3)) + 0
  head[-1, -1] += differs
  own = _TABLES.get(kind, 'model.embed_tokens.weight')
  return _tensors(**{own: table, 'lm_head.weight': head})


@pytest.mark.parametrize('told', [True, False, None])
@pytest.mark.parametrize('name', ['qwen2_5_0_5b', 'qwen3_8b', 'smollm2_135m',
                                  't5_small'])  # fmt: skip
def test_a_head_in_the_file_decides_whether_embeddings_are_tied(name, told):
  fields = published.FIELDS[name] | {'tie_word_embeddings': told}
  kind = fields['model_type']
  absent = kind == 't5'  # What the field means where it is missing.
  assert _read(fields).tied_embeddings == (absent if told is None else told)
  read = lambda **x: _read(fields, _head(kind, **x)).tied_embeddings  # noqa: E731
  assert read()
  assert not read(differs=True)
  assert not read(rows=6)


@pytest.mark.parametrize('name', ['gemma2_9b', 'gemma3_1b', 'gemma4_31b'])
def test_gemma_has_no_head_of_its_own(name):
  fields = _KINDS[name]
  kind = fields['model_type']
  assert _read(fields, _head(kind)) == _read(fields)
  _refused(fields, 'lm_head.weight differs from', _head(kind, differs=True))


def test_t5_v1_1_that_transformers_5_saved_again():
  """It then tells that the head is tied, which it is not."""
  fields = published.FIELDS['t5_v1_1_small']
  saved = fields | dict(tie_word_embeddings=True, scale_decoder_outputs=False)
  want = _read(fields)
  assert not want.tied_embeddings
  assert not want.scales_output
  assert _read(saved, _head('t5', differs=True)) == want
  first = published.FIELDS['t5_small'] | {'feed_forward_proj': 'relu'}
  assert _read(first | {'scale_decoder_outputs': True}).scales_output
  assert _read(first).scales_output
  assert not _read(first | {'tie_word_embeddings': False}).scales_output


@for_each_example
def test_every_format_names_every_parameter_and_nothing_else(family, config):
  model = registry.make_model(config)
  shapes = {
    name: x.shape
    for name, x in traverse_util.flatten_dict(
      jax.eval_shape(model.init, jax.random.key(0)), sep='.'
    ).items()
  }
  for form in family.formats.values():
    names = form.names(config)
    assert names.keys() == shapes.keys()
    parts = set()
    for ours, (theirs, pattern) in names.items():
      left, right = pattern.split(' -> ')
      assert len(right.split()) == len(shapes[ours]), ours
      whole = layout.source_shape(pattern, shapes[ours])
      index = re.match(r'\d+', left)
      assert np.prod(whole) // (int(index[0]) + 1 if index else 1) == np.prod(
        shapes[ours]
      )
      parts.add((theirs, index and index[0]))
      assert not any(
        re.fullmatch(x, theirs) for x in form.ignored if ours != 'lm_head'
      )
    assert len(parts) == len(names)
