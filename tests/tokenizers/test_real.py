"""Real tokenizers, against what the reference implementation made of prompts.

Skipped without ../shared/tools/reference and, in the folder that the variable
SPECCASCADE_REAL_MODELS names, the models by their names.
"""

import os
import pathlib

import numpy as np
import pytest

from speccascade import tokenizers

REFERENCE = pathlib.Path(__file__).parents[3] / 'shared/tools/reference'
MODELS = pathlib.Path(os.environ.get('SPECCASCADE_REAL_MODELS', 'none'))
NAMES = (
  'gemma-3-270m',
  'qwen2.5-coder-0.5b-instruct',
  'qwen2.5-coder-1.5b-instruct',
  'smollm2-135m-instruct',
)


def _load(name):
  if not (MODELS / name).is_dir() or not REFERENCE.is_dir():
    pytest.skip('needs real models and shared data')
  return tokenizers.load(MODELS / name)


@pytest.mark.parametrize('name', NAMES)
def test_prompts_are_the_reference_s(name):
  tokenizer = _load(name)
  told = np.load(REFERENCE / f'{name}.npz')
  for j in range(3):
    tokens = tokenizer.prompt(str(told[f'text{j}']))
    np.testing.assert_array_equal(tokens, told[f'ids{j}'])
    answer = told[f'greedy{j}'].tolist()
    texts = ''.join(tokenizers.spell(tokenizer, tokens + answer))
    assert texts == tokenizer.decode(tokens + answer)
    assert str(told[f'text{j}']) in texts


def test_the_qwens_are_a_pair_and_no_other_two_are():
  loaded = {name: _load(name) for name in NAMES}
  for a, b in (NAMES[1:3], NAMES[2:0:-1]):
    tokenizers.check_same(loaded[a], loaded[b])
  for a, b in (NAMES[:2], NAMES[2:]):
    with pytest.raises(ValueError, match='^the tokenizers differ: token 0 is'):
      tokenizers.check_same(loaded[a], loaded[b])


def test_both_files_of_gemma_have_the_same_pieces():
  of_json = _load('gemma-3-270m')
  of_model = tokenizers.load(MODELS / 'gemma-3-270m/tokenizer.model')
  tokenizers.check_same(of_json, of_model)
  text = '<bos>for  x in\n\t好🙂'
  assert of_json.encode(text) == of_model.encode(text)
