"""The models of a pair in `transformers`, as its users generate with them.

Letters: B rows, S prompt tokens, N generated tokens, V vocabulary.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from etils import epath

from speccascade.decoding import results
from speccascade.studies.compare import answers


class Models(NamedTuple):
  """Both models, each a `transformers.PreTrainedModel`."""

  drafter: Any
  verifier: Any


def libraries() -> tuple[Any, Any]:
  """Returns torch and transformers, which are an extra.

  Raises:
    ValueError: one is missing.
  """
  try:
    import torch
    import transformers
  except ImportError as error:
    raise ValueError(
      f"{error}; a comparison needs it: pip install 'speccascade[compare]'"
    ) from None
  return torch, transformers


def load(folders: Mapping[str, epath.Path], dtype: str) -> Models:
  """Loads both models for the device that jax computes on.

  Args:
    folders: in the layout of Hugging Face, by role.
    dtype: compute type.

  Raises:
    ValueError: torch does not see that device.
  """
  torch, _ = libraries()
  platform = jax.default_backend()
  device = {'cpu': 'cpu', 'gpu': 'cuda'}.get(platform)
  if device is None or (device == 'cuda' and not torch.cuda.is_available()):
    raise ValueError(
      f'jax computes on {platform}, which torch does not see; set '
      'JAX_PLATFORMS=cpu, or install torch for that device'
    )
  return Models(
    *(_load(folders[role], dtype).to(device) for role in Models._fields)
  )


def _load(folder, dtype):
  torch, transformers = libraries()
  transformers.logging.set_verbosity_error()
  transformers.logging.disable_progress_bar()
  config = transformers.AutoConfig.from_pretrained(folder)
  kind = transformers.AutoModelForCausalLM
  if config.is_encoder_decoder:
    kind = transformers.AutoModelForSeq2SeqLM
  model = kind.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
  if config.is_encoder_decoder:
    # Caches have as many layers as this tells, where the decoder has more.
    model.config.num_layers = model.config.num_decoder_layers
  return model


def settings(
  eos_ids: tuple[int, ...],
  pad_id: int,
  max_new_tokens: int,
  temperature: float,
) -> dict[str, Any]:
  """Returns the settings of `transformers.GenerationConfig` of an answer."""
  found = dict(
    eos_token_id=list(eos_ids),
    pad_token_id=pad_id,
    max_new_tokens=max_new_tokens,
    do_sample=temperature > 0,
  )
  if temperature > 0:  # Its own top-k is 50.
    found |= dict(temperature=temperature, top_k=0, top_p=1.0)
  return found


def assistant(gamma: int) -> dict[str, Any]:
  """Returns the settings of assisted generation by drafts of one length."""
  return dict(
    num_assistant_tokens=gamma,
    num_assistant_tokens_schedule='constant',
    assistant_confidence_threshold=0.0,
  )


def generate(
  models: Models,
  prompts: results.Prompts,
  settings: Mapping[str, Any],
  seed: int = 0,
  assistant: Mapping[str, Any] | None = None,
) -> answers.Answers:
  """Generates answers.

  Args:
    models: Models.
    prompts: each once.
    settings: as `settings` returns.
    seed: of what is sampled.
    assistant: settings of assisted generation, as `assistant` returns or {} for
      its defaults; None is generation by the verifier alone.
  """
  torch, transformers = libraries()
  verifier, calls = models.verifier, 0
  # Not what the folders tell of sampling and penalties.
  start = getattr(verifier.config, 'decoder_start_token_id', None)
  verifier.generation_config = transformers.GenerationConfig(
    decoder_start_token_id=start, **settings
  )
  inputs = _inputs(models, prompts)
  if assistant is not None:
    models.drafter.generation_config = transformers.GenerationConfig(
      decoder_start_token_id=start, **assistant
    )
    inputs['assistant_model'] = models.drafter

  def count(*_):
    nonlocal calls
    calls += 1

  torch.manual_seed(seed)
  with torch.inference_mode(), verifier.register_forward_pre_hook(count):
    token_BxM = verifier.generate(**inputs).cpu().numpy()
  first = 1 if _encodes(models) else inputs['input_ids'].shape[1]
  rows = [
    answers.ended(token_N, settings['eos_token_id'])
    for token_N in token_BxM[:, first:]
  ]
  if assistant is None:  # A call a token; not of rows that have ended.
    calls = sum(map(len, rows))
  return answers.Answers(rows, calls)


def _inputs(models, prompts):
  """Prompts as a tokenizer of transformers pads them for the family."""
  B, S = prompts.rows, int(prompts.length_P.max())
  token_BxS, mask_BxS = np.zeros((2, B, S), np.int64)
  for row, length in enumerate(prompts.length_P):
    start = 0 if _encodes(models) else S - length
    held = slice(start, start + length)
    token_BxS[row, held] = prompts.token_PxS[row, :length]
    mask_BxS[row, held] = 1
  return dict(
    input_ids=_place(models, token_BxS),
    attention_mask=_place(models, mask_BxS),
  )


def _encodes(models):
  """Whether an encoder reads the prompt apart from the answer."""
  return models.verifier.config.is_encoder_decoder


def _place(models, x):
  torch, _ = libraries()
  return torch.tensor(x, device=models.verifier.device)


def margin(models: Models, prompt_S: np.ndarray, token_N: np.ndarray) -> float:
  """Returns by how much the verifier's best next logit exceeds the second.

  Args:
    models: Models.
    prompt_S: of one row, without padding.
    token_N: its answer so far.
  """
  torch, _ = libraries()
  if _encodes(models):
    start = models.verifier.config.decoder_start_token_id
    parts = {'input_ids': [prompt_S], 'decoder_input_ids': [[start], token_N]}
  else:
    parts = {'input_ids': [prompt_S, token_N]}
  inputs = {
    name: _place(models, np.concatenate(x)[None].astype(np.int64))
    for name, x in parts.items()
  }
  with torch.inference_mode():
    logits_V = models.verifier(**inputs).logits[0, -1].float()
  best, second = logits_V.topk(2).values.tolist()
  return best - second


def describe(models: Models) -> dict[str, str]:
  """Returns how the models run, and the versions of the libraries."""
  torch, transformers = libraries()
  return {
    'device': models.verifier.device.type,
    'threads': str(torch.get_num_threads()),
    'attention': models.verifier.config._attn_implementation,
    'torch': torch.__version__,
    'transformers': transformers.__version__,
  }
