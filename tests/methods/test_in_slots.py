"""Methods with programs of their own in slots, against fixed batches."""

import collections
import itertools

import jax
import numpy as np
import pytest

from speccascade import methods
from speccascade.decoding import queue, results, serving
from speccascade.sampling import keys, probabilities
from tests.decoding import test_slots as in_slots
from tests.decoding import tiny

pytestmark = pytest.mark.usefixtures('float64')

_PAIRS, _P = in_slots.PAIRS, in_slots.P
_ALWAYS = 0.1  # This alpha asks the verifier for all.
# These do not at either temperature, or at one of them.
_SOMETIMES = {
  'token_cascade': {'gemma': (0.6,), 't5': (0.93,)},
  'sequence_mean': {'gemma': (0.662, 0.865), 't5': (0.924, 0.9555)},
  'sequence_q10': {'gemma': (0.787, 0.965), 't5': (0.935, 0.9695)},
}


def _served(pair, method, items):
  """{item: its row} of all, in three slots."""
  decoder, params = method.slots(
    (pair.drafter, pair.verifier), pair.params, pair.most, (pair.eos,)
  )
  made = queue.Slots(decoder, 3, tiny.S, 2, 4, 5)
  wanted = in_slots._queue(pair, (in_slots._answers(items, 0),))
  found = {}
  for ended in serving.serve(made, params, wanted):
    for j, id_ in enumerate(ended.ids.tolist()):
      found[items[id_]] = jax.tree.map(lambda x, j=j: x[j], ended.result)
  assert len(found) == len(items)
  return found


@pytest.mark.parametrize(
  ('name', 'pair'),
  [
    ('token_cascade', 't5'),
    ('sequence_q10', 'gemma'),
    *(
      pytest.param(*x, marks=pytest.mark.thorough)
      for x in (
        ('token_cascade', 'gemma'),
        ('sequence_mean', 'gemma'),
        ('sequence_mean', 't5'),
        ('sequence_q10', 't5'),
      )
    ),
  ],
)
def test_an_answer_is_that_of_a_fixed_batch(name, pair):
  """The verifier lags behind the drafter, in slots that are given anew, too."""
  values = [(alpha,) for alpha in (_ALWAYS, *_SOMETIMES[name][pair])]
  pair, method = _PAIRS[pair], methods.METHODS[name]
  models, temperatures = (pair.drafter, pair.verifier), in_slots.TEMPERATURES
  items = list(itertools.product(range(_P), values, temperatures))
  found, told = _served(pair, method, items), collections.Counter()
  for v, t in itertools.product(values, temperatures):
    request = results.Request(
      results.Prompts(
        in_slots._tokens(pair), in_slots.LENGTH_P, in_slots.EXAMPLE_P
      ),
      probabilities.Sampling(np.full(_P, t), np.ones(_P)),
      (tuple(np.full(_P, x) for x in v),),
      keys.make(tiny.SEED),
    )
    alone = method.decode(models, pair.params, request, pair.most, (pair.eos,))
    told[v, 'asked'] += int(alone.counts.verifier_calls_B.sum())
    told[v, 'kept'] += int(alone.counts.accepted_B.sum())
    for p in range(_P):
      row = jax.tree.map(lambda x, p=p: np.asarray(x)[p], alone)
      got, length = found[p, v, t], row.length_B
      in_slots._equal(got.token_BxN[:length], row.token_BxN[:length])
      # Which tokens a block of the verifier reads hangs on the other rows.
      in_slots._equal(got.replace(token_BxN=()), row.replace(token_BxN=()))
  for v in values[1:]:
    assert 0 < told[v, 'asked'] < told[values[0], 'asked']
    assert told[v, 'kept'] > 0


@pytest.mark.parametrize('name', ['token_cascade', 'sequence_mean'])
@pytest.mark.parametrize('values', [(), ((2.0,),)])
def test_values_are_checked(name, values):
  pair = in_slots.GEMMA
  decoder, _ = methods.METHODS[name].slots(
    (pair.drafter, pair.verifier), pair.params, tiny.N, (tiny.EOS,)
  )
  made = queue.Slots(decoder, 3, tiny.S, 2, 4, 5)
  answers = in_slots._answers([(p, (), 0.0) for p in range(3)], 0)
  answers = answers.replace(values=tuple(np.full(3, *x) for x in values))
  with pytest.raises(ValueError, match='alpha') as error:
    serving.check(made, in_slots._queue(pair, (answers,)))
  assert '\n' not in str(error.value)
