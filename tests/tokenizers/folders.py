"""Tiny tokenizers as Hugging Face lays them out, of two common kinds."""

import json
import pathlib

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

SPECIAL = ['<|endoftext|>', '<|im_start|>', '<|im_end|>', '<s>']
TEMPLATE = (
  '{{ bos_token }}\n{%- for m in messages %}\n'
  '  {%- if m.role not in ["user", "assistant"] %}\n'
  '    {{- raise_exception("no role " + m.role) }}\n'
  '  {%- endif %}\n'
  '  {{- "<|im_start|>" + m.role + "\n" + m.content + "<|im_end|>\n" }}\n'
  '{%- endfor %}\n'
  '{%- if add_generation_prompt %}\n'
  '  {{- "<|im_start|>assistant\n" }}\n'
  '{%- endif %}\n'
)
CONFIG = {
  'bos_token': '<s>',
  'eos_token': {'content': '<|endoftext|>', 'special': True},
  'pad_token': '<|endoftext|>',
  'chat_template': TEMPLATE,
}


def of_bytes(begins=True) -> tokenizers.Tokenizer:
  """As Qwen's and Llama's: pieces are bytes, and some merges of them."""
  merges = [('t', 'h'), ('th', 'e'), ('Ġ', 'the'), ('å', '¥')]
  letters = sorted(pre_tokenizers.ByteLevel.alphabet())
  pieces = [*SPECIAL[:3], *letters, *(a + b for a, b in merges), SPECIAL[3]]
  vocab = {piece: i for i, piece in enumerate(pieces)}
  tokenizer = tokenizers.Tokenizer(models.BPE(vocab, merges))
  tokenizer.normalizer = normalizers.NFC()
  tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
  tokenizer.decoder = decoders.ByteLevel()
  if begins:
    tokenizer.post_processor = processors.TemplateProcessing(
      single='<s> $A', special_tokens=[('<s>', vocab['<s>'])]
    )
  tokenizer.add_special_tokens(SPECIAL)
  tokenizer.add_tokens(['<tool>'])  # Which is text.
  return tokenizer


def with_byte_fallback() -> tokenizers.Tokenizer:
  """As Gemma's and T5's: pieces are text, or bytes where there is none."""
  letters = ['▁', 't', 'h', 'e', 'a', '▁the', '▁t', 'he']
  pieces = ['<unk>', '</s>', *(f'<0x{i:02X}>' for i in range(256)), *letters]
  vocab = {piece: i for i, piece in enumerate(pieces)}
  tokenizer = tokenizers.Tokenizer(
    models.BPE(
      vocab,
      [('h', 'e'), ('▁', 't'), ('▁t', 'he')],
      unk_token='<unk>',
      byte_fallback=True,
      fuse_unk=True,
    )
  )
  tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme='first')
  tokenizer.decoder = decoders.Sequence(
    [
      decoders.Replace('▁', ' '),
      decoders.ByteFallback(),
      decoders.Fuse(),
      decoders.Strip(' ', 1, 0),
    ]
  )
  tokenizer.post_processor = processors.TemplateProcessing(
    single='$A </s>', special_tokens=[('</s>', vocab['</s>'])]
  )
  tokenizer.add_special_tokens(['<unk>', '</s>'])
  return tokenizer


def write(folder: pathlib.Path, tokenizer=None, config=CONFIG, **files):
  """Writes a folder; `files` are of JSON by name, such as `config`."""
  folder.mkdir(parents=True, exist_ok=True)
  tokenizer = of_bytes() if tokenizer is None else tokenizer
  tokenizer.save(str(folder / 'tokenizer.json'))
  for name, value in {'tokenizer_config': config, **files}.items():
    (folder / f'{name}.json').write_text(json.dumps(value))
  return folder
