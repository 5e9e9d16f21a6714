"""What a verifier call of assisted generation in `transformers` takes.

Its models have the shapes of published ones and random weights, as those of
`studies.meshes`, whose iterations are its peers.
"""

import statistics

import numpy as np
import pydantic

from speccascade import config
from speccascade.decoding import results
from speccascade.models import presets, registry
from speccascade.runs import environment
from speccascade.studies.compare import peer
from speccascade.timing import clock

_EOS = 1
_FORMAT = 'hugging_face'


class Assisted(config.Schema):
  """A pair of shapes and a prompt.

  Attributes:
    drafter: a name of `models.presets`, of a decoder.
    verifier: likewise.
    prompt: tokens of the prompt.
    new_tokens: of each answer; random models seldom end one.
    gamma: draft length.
    dtype: of parameters and of what is computed.
    rounds: answers that are timed.
  """

  drafter: str = 'gemma2_2b'
  verifier: str = 'gemma2_27b'
  prompt: config.Tokens = 1024
  new_tokens: config.Tokens = 32
  gamma: config.Gamma = 5
  dtype: config.Dtype = 'bfloat16'
  rounds: config.Trials = 3

  @pydantic.field_validator('drafter', 'verifier')
  @classmethod
  def _check_model(cls, value):
    if registry.family_of(presets.get(value)).encodes_input:
      raise ValueError(f'{value!r}: it must be a decoder')
    return value


def run(study: Assisted) -> str:
  """Times answers at batch 1, temperature 0.

  Returns:
    A line: milliseconds a verifier call, the median of the answers.

  Raises:
    ValueError: torch or transformers is missing.
  """
  torch, transformers = peer.libraries()
  device = 'cuda' if torch.cuda.is_available() else 'cpu'
  made = []
  for name in (study.drafter, study.verifier):
    own = presets.get(name, dtype=study.dtype)
    known = registry.family_of(own).formats[_FORMAT]
    fields = transformers.AutoConfig.for_model(
      known.kinds[0], **known.fields(own)
    )
    torch.set_default_dtype(getattr(torch, study.dtype))
    with torch.device(device):
      made.append(transformers.AutoModelForCausalLM.from_config(fields).eval())
  models = peer.Models(*made)
  size = min(x.config.vocab_size for x in models)
  prompts = results.Prompts(
    np.random.default_rng(0).integers(2, size, (1, study.prompt), np.int32),
    np.array([study.prompt]),
    np.array([0]),
  )
  settings = peer.settings((_EOS,), 0, study.new_tokens, 0.0)
  told = []
  for _ in range(1 + study.rounds):  # The first one warms up.
    answer, seconds = clock.seconds(
      peer.generate, models, prompts, settings, 0, peer.assistant(study.gamma)
    )
    told.append((1e3 * seconds / answer.calls, answer.calls))
  ms = statistics.median(ms for ms, _ in told[1:])
  versions = environment.describe()['versions']
  return (
    f'{ms:.1f} ms a verifier call, {told[-1][1]} calls for {study.new_tokens} '
    f'tokens, prompt of {study.prompt}, γ = {study.gamma}: {study.drafter} for '
    f'{study.verifier}, {study.dtype}; torch {torch.__version__}, transformers '
    f'{transformers.__version__} on '
    f'{torch.cuda.get_device_name() if device == "cuda" else device}, '
    f'{made[1].config._attn_implementation} attention, python '
    f'{versions["python"]}'
  )
