"""One program for all settings, and one clear line for a wrong one."""

import dataclasses

import jax
import numpy as np
import pytest
import table_model

from speccascade import distributions, rules
from speccascade.decoding import autoregressive, cascade, results

pytestmark = pytest.mark.usefixtures('float64')

V, N, P, S = 6, 5, 4, 7
MODEL = table_model.TableModel(V, context_length=12)
CASCADE = cascade.Cascade(MODEL, MODEL, 2, N, 0)
TABLES = table_model.table(V, 0), table_model.table(V, 1)


def _arguments(seed=0, **changes):
  rng = np.random.default_rng(seed)
  arguments = dict(
    prompts=results.Prompts(
      rng.integers(0, V, (P, S)),
      rng.integers(1, S + 1, P),
      rng.integers(0, 1000, P),
    ),
    sampling=distributions.Sampling(
      rng.choice([0, 0.3, 1, 2.5], P), rng.uniform(0.1, 1, P)
    ),
    rule=rules.token_v3,
    alpha_B=np.full(P, 0.3),
    key=jax.random.key(seed),
  )
  return {**arguments, **changes}


def _programs():
  return cascade._decode._cache_size() + autoregressive._decode._cache_size()


@pytest.mark.parametrize('name', rules.RULES)
def test_one_program_for_32_alphas_and_all_rules(name):
  cascade.decode(CASCADE, TABLES, **_arguments())
  before, tokens = _programs(), set()
  span = rules.RULES[name].alpha_range or (0, 1)
  low, high = max(span[0], -1), min(span[1], 3)
  for i, alpha in enumerate(np.linspace(low + 0.01, high - 0.01, 32)):
    result = cascade.decode(
      CASCADE,
      TABLES,
      **_arguments(i, rule=rules.RULES[name], alpha_B=np.full(P, alpha)),
    )
    tokens.add(np.asarray(result.token_BxN).tobytes())
  assert _programs() == before
  assert len(tokens) == 32  # The settings arrive.


def test_one_autoregressive_program():
  decoder = autoregressive.Autoregressive(MODEL, N, 0)
  sizes = set()
  for seed in range(8):
    a = _arguments(seed)
    autoregressive.decode(
      decoder, TABLES[0], a['prompts'], a['sampling'], a['key']
    )
    sizes.add(_programs())
  assert len(sizes) == 1


def _prompts(**changes):
  return dataclasses.replace(_arguments()['prompts'], **changes)


def _sampling(**changes):
  return dataclasses.replace(_arguments()['sampling'], **changes)


@dataclasses.dataclass(frozen=True)
class _Short(table_model.TableModel):
  context_length: int = 11


WRONG = {
  'prompt 1 is too long: 7 tokens; with max_new_tokens=5 the models take 6': (
    dict(prompts=_prompts(length_P=np.array([1, 7, 2, 3]))),
    cascade.Cascade(MODEL, _Short(V), 2, N, 0),
  ),
  'prompt 2 has length 0': dict(
    prompts=_prompts(length_P=np.array([1, 7, 0, 3]))
  ),
  'prompt 3 has length 8; it must be in 1..7': dict(
    prompts=_prompts(length_P=np.array([1, 7, 2, 8]))
  ),
  'need length_P and example_P of shape': dict(
    prompts=_prompts(length_P=np.array([1, 7, 2]))
  ),
  r'tokens 0..6 are outside the vocabulary of 6': dict(
    prompts=_prompts(token_PxS=np.arange(28).reshape(P, S) % 7)
  ),
  r'tokens -1..5 are outside': dict(
    prompts=_prompts(token_PxS=np.arange(28).reshape(P, S) % 7 - 1)
  ),
  'alpha=1.5 is out of range for token_v3': dict(
    alpha_B=np.array([0, 0.5, 1.5, 0])
  ),
  'alpha=nan is out of range for token_v3': dict(
    alpha_B=np.array([0, 0.5, np.nan, 0])
  ),
  'alpha=1 is out of range for lossy': dict(
    rule=rules.lossy, alpha_B=np.ones(P)
  ),
  r'alpha needs shape \(4,\)': dict(alpha_B=np.float64(0.3)),
  r'alpha needs shape \(4,\), one a row: \(3,\)': dict(alpha_B=np.zeros(3)),
  "unknown rule 'token_v4'.*strict, drafter": dict(rule='token_v4'),
  'unknown rule.*_prompts': dict(rule=_prompts),
  'temperature=-0.5 must be 0 or more': dict(
    sampling=_sampling(temperature_B=np.array([0, 1, -0.5, 1]))
  ),
  'temperature=nan must be 0 or more': dict(
    sampling=_sampling(temperature_B=np.array([0, 1, np.nan, 1]))
  ),
  r'temperature needs shape \(4,\)': dict(
    sampling=_sampling(temperature_B=np.ones(1))
  ),
  r'top_p=0..1 not in \(0, 1\]': dict(
    sampling=_sampling(top_p_B=np.array([0, 1, 1, 1]))
  ),
  r'top_p=0.5..1.1 not in': dict(
    sampling=_sampling(top_p_B=np.array([0.5, 1.1, 1, 1]))
  ),
  'top_k=-1 must be 0': dict(sampling=_sampling(top_k=-1)),
}


@pytest.mark.parametrize('message', WRONG)
def test_errors_come_before_any_compile(message):
  changes = WRONG[message]
  changes, static = (
    changes if isinstance(changes, tuple) else (changes, CASCADE)
  )
  before = _programs()
  with pytest.raises(ValueError, match=message) as e:
    cascade.decode(static, TABLES, **_arguments(**changes))
  assert '\n' not in str(e.value)
  if not {'rule', 'alpha_B'} & changes.keys():
    decoder = autoregressive.Autoregressive(static.verifier, N, 0)
    a = _arguments(**changes)
    with pytest.raises(ValueError, match=message):
      autoregressive.decode(
        decoder, TABLES[0], a['prompts'], a['sampling'], a['key']
      )
  assert _programs() == before


def test_a_cascade_checks_its_static_half():
  with pytest.raises(ValueError, match='gamma=-1 must be 0 or more'):
    cascade.Cascade(MODEL, MODEL, -1, N, 0)
  with pytest.raises(ValueError, match='drafter 6, verifier 7'):
    cascade.Cascade(MODEL, table_model.TableModel(7), 2, N, 0)
  none = dataclasses.replace(CASCADE, max_new_tokens=0)
  with pytest.raises(ValueError, match='max_new_tokens=0 must be at least 1'):
    cascade.decode(none, TABLES, **_arguments())
