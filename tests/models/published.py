"""The config.json of published models, as their folders on the hub have it.

`FIELDS` has the fields of a preset of the same name, `NEWER` some as
transformers 5 writes them. What has no effect on logits was left in, but for
long lists of labels and tasks.
"""

_GEMMA = dict(
  attention_bias=False,
  attention_dropout=0.0,
  bos_token_id=2,
  eos_token_id=1,
  hidden_activation='gelu_pytorch_tanh',
  initializer_range=0.02,
  pad_token_id=0,
  rms_norm_eps=1e-06,
  torch_dtype='bfloat16',
  use_cache=True,
)
_GEMMA2 = _GEMMA | dict(
  architectures=['Gemma2ForCausalLM'],
  attn_logit_softcapping=50.0,
  cache_implementation='hybrid',
  final_logit_softcapping=30.0,
  hidden_act='gelu_pytorch_tanh',
  max_position_embeddings=8192,
  model_type='gemma2',
  rope_theta=10000.0,
  sliding_window=4096,
  transformers_version='4.42.4',
  vocab_size=256000,
)
_GEMMA3 = _GEMMA | dict(
  architectures=['Gemma3ForCausalLM'],
  attn_logit_softcapping=None,
  cache_implementation='hybrid',
  final_logit_softcapping=None,
  head_dim=256,
  max_position_embeddings=32768,
  model_type='gemma3_text',
  num_attention_heads=4,
  num_key_value_heads=1,
  query_pre_attn_scalar=256,
  rope_local_base_freq=10000,
  rope_scaling=None,
  rope_theta=1000000,
  sliding_window=512,
  transformers_version='4.50.0.dev0',
  vocab_size=262144,
)
_LOCAL, _GLOBAL = 'sliding_attention', 'full_attention'
_LINEAR = dict(factor=8.0, rope_type='linear')
_VISION = dict(
  hidden_size=1152,
  image_size=896,
  intermediate_size=4304,
  model_type='siglip_vision_model',
  num_attention_heads=16,
  num_hidden_layers=27,
  patch_size=14,
  vision_use_head=False,
)
_QWEN2 = dict(
  architectures=['Qwen2ForCausalLM'],
  attention_dropout=0.0,
  bos_token_id=151643,
  eos_token_id=151645,
  hidden_act='silu',
  initializer_range=0.02,
  max_position_embeddings=32768,
  model_type='qwen2',
  rms_norm_eps=1e-06,
  rope_theta=1000000.0,
  torch_dtype='bfloat16',
  transformers_version='4.43.1',
  use_cache=True,
  use_sliding_window=False,
)
_QWEN3 = _QWEN2 | dict(
  architectures=['Qwen3ForCausalLM'],
  attention_bias=False,
  head_dim=128,
  max_position_embeddings=40960,
  model_type='qwen3',
  num_key_value_heads=8,
  rope_scaling=None,
  rope_theta=1000000,
  sliding_window=None,
  transformers_version='4.51.0',
  vocab_size=151936,
)
_SMOLLM2 = dict(
  architectures=['LlamaForCausalLM'],
  attention_bias=False,
  attention_dropout=0.0,
  bos_token_id=0,
  eos_token_id=0,
  hidden_act='silu',
  initializer_range=0.041666666666666664,
  is_llama_config=True,
  max_position_embeddings=8192,
  mlp_bias=False,
  model_type='llama',
  pretraining_tp=1,
  rms_norm_eps=1e-05,
  rope_interleaved=False,
  rope_scaling=None,
  tie_word_embeddings=True,
  torch_dtype='bfloat16',
  transformers_version='4.40.1',
  use_cache=True,
  vocab_size=49152,
)
_T5 = dict(
  architectures=['T5ForConditionalGeneration'],
  decoder_start_token_id=0,
  dropout_rate=0.1,
  eos_token_id=1,
  initializer_factor=1.0,
  is_encoder_decoder=True,
  layer_norm_epsilon=1e-06,
  model_type='t5',
  n_positions=512,
  output_past=True,
  pad_token_id=0,
  relative_attention_num_buckets=32,
  task_specific_params={'summarization': {'num_beams': 4}},
  use_cache=True,
  vocab_size=32128,
)
_FLAN_T5 = _T5 | dict(
  d_kv=64,
  feed_forward_proj='gated-gelu',
  is_gated_act=True,
  dense_act_fn='gelu_new',
  relative_attention_max_distance=128,
  tie_word_embeddings=False,
  transformers_version='4.23.1',
)


def _decoder(layers, width, hidden, heads=None, kv_heads=None, head=None):
  sizes = dict(
    num_hidden_layers=layers,
    hidden_size=width,
    intermediate_size=hidden,
    num_attention_heads=heads,
    num_key_value_heads=kv_heads,
    head_dim=head,
  )
  return {name: x for name, x in sizes.items() if x}


def _gemma3_vision(text, **sizes):
  """Files of 4B and more tell little, and that of the text apart."""
  text |= dict(
    model_type='gemma3_text',
    rope_scaling=_LINEAR,
    sliding_window=1024,
    **sizes,
  )
  return dict(
    architectures=['Gemma3ForConditionalGeneration'],
    boi_token_index=255999,
    eoi_token_index=256000,
    eos_token_id=[1, 106],
    image_token_index=262144,
    initializer_range=0.02,
    mm_tokens_per_image=256,
    model_type='gemma3',
    text_config=text,
    torch_dtype='bfloat16',
    transformers_version='4.50.0.dev0',
    vision_config=_VISION,
  )


def _qwen2(sizes, vocab_size, tied, **changes):
  more = dict(
    vocab_size=vocab_size, tie_word_embeddings=tied, sliding_window=32768
  )
  return _QWEN2 | sizes | more | changes


def _qwen3(sizes, tied):
  return _QWEN3 | sizes | dict(tie_word_embeddings=tied)


def _t5(layers, width, head, hidden, heads):
  return dict(
    num_layers=layers, d_model=width, d_kv=head, d_ff=hidden, num_heads=heads
  )


def _flan_t5(layers, width, hidden, heads):
  more = dict(num_decoder_layers=layers)
  return _FLAN_T5 | _t5(layers, width, 64, hidden, heads) | more


_GEMMA3_270M = dict(
  _GEMMA3,
  **_decoder(18, 640, 2048),
  _sliding_window_pattern=6,
  layer_types=([_LOCAL] * 5 + [_GLOBAL]) * 3,
  use_bidirectional_attention=False,
)
FIELDS = {
  'gemma2_2b': _GEMMA2
  | _decoder(26, 2304, 9216, 8, 4, 256)
  | dict(query_pre_attn_scalar=256),
  'gemma2_9b': _GEMMA2
  | _decoder(42, 3584, 14336, 16, 8, 256)
  | dict(query_pre_attn_scalar=256, sliding_window_size=4096),
  'gemma2_27b': _GEMMA2
  | _decoder(46, 4608, 36864, 32, 16, 128)
  | dict(query_pre_attn_scalar=144, sliding_window_size=4096),
  'gemma3_270m': _GEMMA3_270M,
  'gemma3_1b': dict(
    _GEMMA3, **_decoder(26, 1152, 6912), sliding_window_pattern=6
  ),
  'gemma3_4b': _gemma3_vision(_decoder(34, 2560, 10240)),
  'gemma3_12b': _gemma3_vision(_decoder(48, 3840, 15360, 16, 8)),
  'gemma3_27b': _gemma3_vision(
    _decoder(62, 5376, 21504, 32, 16, 128), query_pre_attn_scalar=168
  ),
  'qwen2_5_0_5b': _qwen2(
    _decoder(24, 896, 4864, 14, 2), 151936, True, max_window_layers=21
  ),
  'qwen2_5_1_5b': _qwen2(_decoder(28, 1536, 8960, 12, 2), 151936, True),
  'qwen2_5_3b': _qwen2(_decoder(36, 2048, 11008, 16, 2), 151936, True),
  'qwen2_5_7b': _qwen2(
    _decoder(28, 3584, 18944, 28, 4), 152064, False, use_mrope=False
  ),
  'qwen2_5_14b': _qwen2(_decoder(48, 5120, 13824, 40, 8), 152064, False),
  'qwen2_5_32b': _qwen2(_decoder(64, 5120, 27648, 40, 8), 152064, False),
  'qwen2_5_72b': _qwen2(_decoder(80, 8192, 29568, 64, 8), 152064, False),
  'qwen3_0_6b': _qwen3(_decoder(28, 1024, 3072, 16), True),
  'qwen3_1_7b': _qwen3(_decoder(28, 2048, 6144, 16), True),
  'qwen3_4b': _qwen3(_decoder(36, 2560, 9728, 32), True),
  'qwen3_8b': _qwen3(_decoder(36, 4096, 12288, 32), False),
  'qwen3_14b': _qwen3(_decoder(40, 5120, 17408, 40), False),
  'qwen3_32b': _qwen3(_decoder(64, 5120, 25600, 64), False),
  'smollm2_135m': _SMOLLM2
  | _decoder(30, 576, 1536, 9, 3)
  | dict(rope_theta=100000),
  'smollm2_360m': _SMOLLM2
  | _decoder(32, 960, 2560, 15, 5)
  | dict(rope_theta=100000),
  'smollm2_1_7b': _SMOLLM2
  | _decoder(24, 2048, 8192, 32, 32)
  | dict(rope_theta=130000),
  't5_v1_1_small': _flan_t5(8, 512, 1024, 6),
  't5_v1_1_base': _flan_t5(12, 768, 2048, 12),
  't5_v1_1_large': _flan_t5(24, 1024, 2816, 16),
  't5_v1_1_xl': _flan_t5(24, 2048, 5120, 32),
  't5_v1_1_xxl': _flan_t5(24, 4096, 10240, 64),
  't5_small': _T5 | _t5(6, 512, 64, 2048, 8),
  't5_base': _T5 | _t5(12, 768, 64, 3072, 12),
  't5_large': _T5 | _t5(24, 1024, 64, 4096, 16),
  't5_3b': _T5 | _t5(24, 1024, 128, 16384, 32),
  't5_11b': _T5 | _t5(24, 1024, 128, 65536, 128),
}


def _newer(name, **changes):
  """Without fields that transformers 5 no longer writes."""
  old = ('rope_theta', 'rope_scaling', 'rope_local_base_freq', 'torch_dtype')
  fields = {k: v for k, v in FIELDS[name].items() if k not in old}
  return (
    fields | dict(dtype='bfloat16', transformers_version='5.24.0') | changes
  )


def _default(theta):
  return dict(rope_theta=theta, rope_type='default')


NEWER = {
  'gemma2_2b': _newer(
    'gemma2_2b',
    layer_types=[_LOCAL, _GLOBAL] * 13,
    rope_parameters=_default(10000.0),
    use_bidirectional_attention=None,
  ),
  'gemma3_4b': _newer(
    'gemma3_4b',
    text_config=_newer('gemma3_270m')
    | _decoder(34, 2560, 10240, 8, 4, 256)
    | dict(
      layer_types=[*([_LOCAL] * 5 + [_GLOBAL]) * 5, *[_LOCAL] * 4],
      max_position_embeddings=131072,
      rope_parameters={
        _GLOBAL: _LINEAR | dict(rope_theta=1000000.0),
        _LOCAL: _default(10000.0),
      },
      sliding_window=1024,
      vocab_size=262208,
    ),
    tie_word_embeddings=True,
  ),
  # Keys of layers are of as many digits as the last has.
  'gemma4_31b': _GEMMA
  | _decoder(60, 5376, 21504, 32, 16, 256)
  | dict(
    architectures=['Gemma4ForCausalLM'],
    attention_k_eq_v=True,
    enable_moe_block=False,
    final_logit_softcapping=30.0,
    hidden_size_per_layer_input=0,
    layer_types=([_LOCAL] * 5 + [_GLOBAL]) * 10,
    max_position_embeddings=262144,
    model_type='gemma4_text',
    moe_intermediate_size=None,
    num_experts=None,
    num_kv_shared_layers=0,
    per_layer_config={
      f'{i:02}': dict(head_dim=512, num_key_value_heads=4)
      for i in range(5, 60, 6)
    },
    rope_parameters={
      _GLOBAL: dict(
        partial_rotary_factor=0.25,
        rope_theta=1000000.0,
        rope_type='proportional',
      ),
      _LOCAL: _default(10000.0),
    },
    sliding_window=1024,
    tie_word_embeddings=True,
    top_k_experts=None,
    use_bidirectional_attention='vision',
    use_double_wide_mlp=False,
    vocab_size=262144,
    vocab_size_per_layer_input=262144,
  ),
  'qwen2_5_7b': _newer(
    'qwen2_5_7b',
    layer_types=[_GLOBAL] * 28,
    rope_parameters=_default(1000000.0),
    sliding_window=None,
  ),
  'qwen3_0_6b': _newer(
    'qwen3_0_6b',
    layer_types=[_GLOBAL] * 28,
    rope_parameters=_default(1000000.0),
  ),
  'smollm2_135m': _newer('smollm2_135m', rope_parameters=_default(100000.0)),
  't5_small': _newer(
    't5_small',
    dense_act_fn='relu',
    feed_forward_proj='relu',
    is_gated_act=False,
    num_decoder_layers=6,
    scale_decoder_outputs=True,
    tie_word_embeddings=True,
  ),
}
