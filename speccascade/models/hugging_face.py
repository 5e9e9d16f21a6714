"""Reads the fields of a Hugging Face config.json.

A field is taken, must have one of a few values, or has no effect on logits.
Any other one is refused by its name: what it changes is not known here.
"""

from collections.abc import Collection, Mapping
from typing import Any

# Fields that do not change the logits of a pass: tokens, which the tokenizer
# tells; training; memory; and how answers are generated.
_NO_EFFECT = frozenset(
  """
  architectures attention_dropout attn_implementation audio_config
  audio_token_id auto_map bad_words_ids begin_suppress_tokens boa_token_id
  boi_token_id boi_token_index bos_token_id cache_implementation
  chunk_size_feed_forward classifier_dropout decoder_start_token_id
  diversity_penalty do_sample dropout dropout_rate dtype early_stopping
  encoder_no_repeat_ngram_size eoa_token_id eoa_token_index eoi_token_id
  eoi_token_index eos_token_id exponential_decay_length_penalty finetuning_task
  forced_bos_token_id forced_eos_token_id hidden_dropout id2label image_token_id
  image_token_index initializer_factor initializer_range is_decoder
  is_encoder_decoder is_llama_config label2id length_penalty max_length
  max_window_layers min_length mm_tokens_per_image model_type n_positions
  name_or_path no_repeat_ngram_size num_beam_groups num_beams
  num_return_sequences output_attentions output_hidden_states output_past
  output_scores pad_token_id prefix pretraining_tp problem_type
  remove_invalid_values repetition_penalty return_dict return_dict_in_generate
  sep_token_id suppress_tokens task_specific_params temperature tf_legacy_loss
  tie_encoder_decoder tokenizer_class top_k top_p torch_dtype torchscript
  transformers.js_config transformers_version typical_p unsloth_fixed
  unsloth_version use_bfloat16 use_cache video_token_id vision_config
  """.split()
)
# Our names of settings, and theirs of the fields that `rope` and others read.
READ = {
  'rope_base': 'rope_theta',
  'rope_fraction': 'partial_rotary_factor',
  'local_rope_base': 'rope_local_base_freq',
  'rope_factor': 'factor of rope',
  'period': 'sliding_window_pattern',
  'tied_embeddings': 'tie_word_embeddings',
}
_MISSING = object()


def settings(
  fields: Mapping[str, Any],
  taken: Mapping[str, str],
  *,
  fixed: Mapping[str, tuple[Any, ...]],
  used: Collection[str] = (),
  defaults: Mapping[str, Any] = {},  # noqa: B006
) -> dict[str, Any]:
  """Returns settings of a family by its own names.

  Args:
    fields: of a config.json.
    taken: our name of each field that is taken; all are numbers.
    fixed: values that a field may have; None and a missing field stand for the
      first of them.
    used: fields that the caller reads itself.
    defaults: values of fields that may be missing.

  Raises:
    ValueError: a field is missing, is no number, or has a value that changes
      the result in a way that is not supported.
  """
  for name, value in fields.items():
    if name in fixed:
      if value is not None and value not in fixed[name]:
        allowed = ' or '.join(f'{x!r}' for x in fixed[name])
        raise ValueError(
          f'{name}={value!r:.80} is not supported, only {allowed}'
        )
    elif not (
      name in taken
      or name in used
      or name in _NO_EFFECT
      or name.startswith('_')
      or value in (None, False)
    ):
      raise ValueError(
        f'unknown field {name}={value!r:.80}, which may change what the model '
        'computes; take it out if it does not'
      )
  found = {}
  for theirs, ours in taken.items():
    value = fields.get(theirs)
    if value is None:
      value = defaults.get(theirs, _MISSING)
    if value is _MISSING:
      raise ValueError(f'it has no field {theirs}')
    found[ours] = _number(theirs, value)
  return found


def _number(name, value):
  if isinstance(value, bool) or not isinstance(value, int | float):
    raise ValueError(f'{name}={value!r:.80} must be a number')
  return value


def rope(
  fields: Mapping[str, Any], base: float, kind: str | None = None
) -> tuple[float, float]:
  """Returns (base wavelength, factor that divides positions).

  They are told by `rope_parameters`, for each kind of layer or for all, or by
  `rope_theta` and `rope_scaling`.

  Args:
    fields: of a config.json.
    base: where none is told.
    kind: of the layers, as `layer_types` has it; None is all.

  Raises:
    ValueError: the embedding is not rotary as usual, nor linearly scaled.
  """
  name, older = 'rope_parameters', fields.get('rope_scaling')
  if fields.get(name) is None:
    name, kind = 'rope_scaling', None
  elif older and older != fields[name]:
    raise ValueError(
      f'rope_scaling={older!r:.80} and rope_parameters differ; take one out'
    )
  told = fields.get(name) or {}
  if kind and isinstance(told, Mapping):
    told = told.get(kind)
  if not isinstance(told, Mapping):
    of_kind = f' of {kind}' if kind else ''
    raise ValueError(f'{name}{of_kind}={told!r:.80} must be an object')
  scaling = told.get('rope_type', told.get('type')) or 'default'
  if scaling not in ('default', 'linear'):
    raise ValueError(
      f"rope_type={scaling!r:.40} is not supported, only 'default' or 'linear'"
    )
  known = {'rope_type', 'type', 'rope_theta', 'factor'}
  if scaling == 'default':
    known.remove('factor')
  for name in sorted(told.keys() - known):
    if (name, told[name]) != ('partial_rotary_factor', 1.0):
      raise ValueError(f'{name}={told[name]!r:.80} of rope is not supported')
  theta = told.get('rope_theta', fields.get('rope_theta'))
  factor = told.get('factor') if scaling == 'linear' else 1.0
  theta = base if theta is None else theta
  return _number('rope_theta', theta), _number('factor of rope', factor)


def of_text(
  fields: Mapping[str, Any], defaults: Mapping[str, Any]
) -> dict[str, Any]:
  """Returns the fields of the text model, of one that may read images, too.

  Args:
    fields: of a config.json; those of the text may be in `text_config`.
    defaults: values of fields that are missing or null.

  Raises:
    ValueError: `text_config` is no object.
  """
  text = fields.get('text_config') or {}
  if not isinstance(text, dict):
    raise ValueError(f'text_config={text!r:.80} must be an object')
  fields = {k: v for k, v in fields.items() if k != 'text_config'} | text
  return {**defaults, **{k: v for k, v in fields.items() if v is not None}}


def layer_kinds(fields: Mapping[str, Any]) -> tuple[str, ...]:
  """Returns 'local' or 'global' for each layer, () where none is told.

  Args:
    fields: of a config.json.

  Raises:
    ValueError: a layer is of another kind, or their number is wrong.
  """
  told = fields.get('layer_types')
  if told is None:
    return ()
  kinds = {'sliding_attention': 'local', 'full_attention': 'global'}
  if not isinstance(told, list) or len(told) != fields['num_hidden_layers']:
    raise ValueError('layer_types does not tell one kind a layer')
  for kind in told:
    if not isinstance(kind, str) or kind not in kinds:
      raise ValueError(f'layer_types has {kind!r:.40}, which is not supported')
  return tuple(kinds[kind] for kind in told)


def period(fields: Mapping[str, Any]) -> int:
  """Returns after how many layers a global one comes; the others are local.

  Raises:
    ValueError: they do not come in such periods.
  """
  kinds = layer_kinds(fields)
  if not kinds:
    return fields.get('sliding_window_pattern', 6)
  found = (*kinds, 'global').index('global') + 1
  for i, kind in enumerate(kinds):
    if (kind == 'global') != (i % found == found - 1):
      raise ValueError(
        'layer_types is not supported: after its first full_attention, of '
        f'layer {found - 1}, every {found}th layer must be, and no other'
      )
  return found


def whole(x: float) -> float | int:
  """Returns a number that is whole as an integer, which some fields must be."""
  return int(x) if x == int(x) else x


def is_tied(tensors: Mapping[str, Any], table: str, told: bool) -> bool:
  """Whether logits are computed with the table of embeddings.

  What a file holds decides where it holds a head: configurations that were
  saved again may tell otherwise.

  Args:
    tensors: handles by name, as `checkpoints.tensors` has them.
    table: name of the embeddings.
    told: what the configuration tells.
  """
  head, own = tensors.get('lm_head.weight'), tensors.get(table)
  if head is None or own is None:
    return told
  if head.shape != own.shape:
    return False
  whole = tuple(slice(0, size) for size in own.shape)
  return all((head.read(x) == own.read(x)).all() for x in own.boxes(whole))
