"""Grade-school word problems in GSM8K's format, generated without end.

A problem is an opening, some steps and an ending of one scene, two to six
calculations in all, told with names and wordings drawn at random. Its
skeleton, the calculations alone, decides the split it may appear in: no two
splits share a problem, whatever the names, the wording or the story.
"""

import dataclasses
import hashlib
import random
from collections.abc import Callable

from speccascade.tasks import gsm8k
from speccascade.tasks import word_problem_templates as templates

# The split of a skeleton, by the last five bits of its hash.
_SPLITS = ('test', 'validation', *['train'] * 30)
_MIN_STEPS, _MAX_STEPS = 2, 6

_TEMPLATES = templates.load()
_SCENES = tuple(_TEMPLATES.scenes.values())
_HIS = {'he': 'he', 'He': 'He', 'his': 'his', 'His': 'His', 'him': 'him'}
_HER = {'he': 'she', 'He': 'She', 'his': 'her', 'His': 'Her', 'him': 'her'}
_GENDERS = (
  (_TEMPLATES.he, _TEMPLATES.she, _HIS),
  (_TEMPLATES.she, _TEMPLATES.he, _HER),
)
_TIMES = {2: 'twice', 3: '3 times', 4: '4 times', 5: '5 times'}
_PARTS = {2: 'half', 3: 'a third', 4: 'a quarter'}

Draw = Callable[[int, int], int]  # a number from low to high, both included
Calculation = tuple[int, str, int]  # left, sign, right
Scene = templates.Scene


@dataclasses.dataclass(frozen=True)
class _Turn:
  """A move with its numbers and its calculations, each '3 * 4' and 12."""

  move: templates.Move
  numbers: dict[str, int]
  calculations: list[tuple[str, int]]


def _choice(draw: Draw, options):
  return options[draw(0, len(options) - 1)]


# Operations: (draw, x, scene) -> numbers for the telling, calculations. x is
# the quantity so far; the last calculation gives the next one. A draw may be
# impossible (x has no divisor, say): `_calculate` notices.


def _have(draw, x, scene):
  return {'a': draw(12, 2 * scene.span)}, []


def _product(draw, x, scene):
  a, b = draw(2, 9), draw(3, 45)
  return {'a': a, 'b': b}, [(a, '*', b)]


def _times(draw, x, scene):
  a, k = draw(4, scene.span), draw(2, 5)
  return {'a': a, 'k': k}, [(a, '*', k)]


def _more(draw, x, scene):
  a, b = draw(5, scene.span), draw(2, scene.span)
  return {'a': a, 'b': b}, [(a, '+', b)]


def _fewer(draw, x, scene):
  a = draw(10, scene.span)
  b = draw(2, a - 2)
  return {'a': a, 'b': b}, [(a, '-', b)]


def _first_part(draw, x, scene):
  k = draw(2, 4)
  a = k * draw(3, scene.span // 2)
  return {'a': a, 'k': k}, [(a, '/', k)]


def _plus(draw, x, scene):
  a, b = draw(5, scene.span), draw(5, scene.span)
  return {'a': a, 'b': b}, [(a, '+', b)]


def _two_products(draw, x, scene):
  a, b, c, d = draw(2, 9), draw(3, 40), draw(2, 9), draw(3, 40)
  sums = [(a, '*', b), (c, '*', d), (a * b, '+', c * d)]
  return {'a': a, 'b': b, 'c': c, 'd': d}, sums


def _times_sum(draw, x, scene):
  a, k = draw(5, scene.span), draw(2, 5)
  return {'a': a, 'k': k}, [(a, '*', k), (a, '+', a * k)]


def _more_sum(draw, x, scene):
  a, b = draw(5, scene.span), draw(2, scene.span)
  return {'a': a, 'b': b}, [(a, '+', b), (a, '+', a + b)]


def _fewer_sum(draw, x, scene):
  a = draw(10, scene.span)
  b = draw(2, a - 2)
  return {'a': a, 'b': b}, [(a, '-', b), (a, '+', a - b)]


def _ask(draw, x, scene):
  return {}, []


def _add(draw, x, scene):
  a = draw(2, min(scene.span, scene.limit - x))
  return {'a': a}, [(x, '+', a)]


def _sub(draw, x, scene):
  a = draw(2, min(scene.span, x - 2))
  return {'a': a, 'b': a}, [(x, '-', a)]


def _add_product(draw, x, scene):
  a, b = draw(2, 9), draw(2, 25)
  return {'a': a, 'b': b}, [(a, '*', b), (x, '+', a * b)]


def _sub_product(draw, x, scene):
  a = draw(2, 9)
  b = draw(2, min(25, (x - 2) // a))
  return {'a': a, 'b': b}, [(a, '*', b), (x, '-', a * b)]


def _multiply(draw, x, scene):
  k = draw(2, min(9 if x < 100 else 3, scene.limit // x))
  return {'k': k}, [(x, '*', k)]


def _grow(draw, x, scene):
  k = draw(2, min(5 if x < 100 else 3, scene.limit // x))
  return {'k': k}, [(x, '*', k)]


def _divide(x, divisors, draw):
  divisors = [k for k in divisors if x % k == 0 and x > k]
  return divisors[draw(0, len(divisors) - 1)] if divisors else 0


def _share(draw, x, scene):
  k = _divide(x, range(2, 10), draw)
  return {'k': k}, [(x, '/', k)]


def _part(draw, x, scene):
  k = _divide(x, range(2, 5), draw)
  return {'k': k}, [(x, '/', k)]


def _halve(draw, x, scene):
  return {'k': 2}, [(x, '/', 2)]


def _sub_part(draw, x, scene):
  k = _divide(x, range(3, 5), draw)
  return {'k': k}, [(x, '/', k), (x, '-', x // max(k, 1))]


def _from(draw, x, scene):
  a = draw(x + 2, min(x + 2 * scene.span, scene.limit))
  return {'a': a}, [(a, '-', x)]


def _from_share(draw, x, scene):
  k = draw(2, 9)
  a = x + k * draw(2, 40)
  return {'a': a, 'k': k}, [(a, '-', x), (a - x, '/', k)]


OPERATIONS = {
  operation.__name__.removeprefix('_'): operation
  for operation in (
    _have, _product, _times, _more, _fewer, _first_part, _plus, _two_products,
    _times_sum, _more_sum, _fewer_sum, _ask, _add, _sub, _add_product,
    _sub_product, _multiply, _grow, _share, _part, _halve, _sub_part, _from,
    _from_share,
  )
}  # fmt: skip


def _calculate(
  calculations: list[Calculation], limit: int
) -> list[tuple[str, int]] | None:
  """Returns ('3 * 4', 12) for each, or None where one is out of bounds."""
  done = []
  for left, sign, right in calculations:
    if not (2 <= left <= limit and 2 <= right <= limit):
      return None
    if sign == '+':
      result = left + right
    elif sign == '-':
      result = left - right
    elif sign == '*':
      result = left * right
    else:
      result, rest = divmod(left, right)
      if rest:
        return None
    if not 2 <= result <= limit:
      return None
    done.append((f'{left} {sign} {right}', result))
  return done


def _choose_moves(
  draw: Draw, scene: Scene, num_steps: int
) -> list[templates.Move] | None:
  """Draws `num_steps` calculations, or None: too many, a step repeated."""
  moves = [_choice(draw, scene.opening)]
  ending = _choice(draw, scene.ending)
  remaining = num_steps - moves[0].num_steps - ending.num_steps
  while remaining > 0:
    step = _choice(draw, scene.step)
    if step is moves[-1]:
      return None
    moves.append(step)
    remaining -= step.num_steps
  if remaining < 0:
    return None
  return [*moves, ending]


def _plan(draw: Draw, scene: Scene, num_steps: int) -> list[_Turn] | None:
  """Draws moves and numbers, or None where they do not work out."""
  turns, x = [], 0
  for move in _choose_moves(draw, scene, num_steps) or ():
    numbers, calculations = OPERATIONS[move.operation](draw, x, scene)
    calculations = _calculate(calculations, scene.limit)
    if calculations is None:
      return None
    turns.append(_Turn(move, numbers, calculations))
    x = calculations[-1][1] if calculations else numbers.get('a', x)
  return turns or None


def _tell(draw: Draw, scene: Scene, turns: list[_Turn]) -> tuple[str, str]:
  """Words a problem: returns its question and its worked solution."""
  # Friends are of the other gender: a pronoun means one person only.
  own, other, pronouns = _choice(draw, _GENDERS)
  others = list(other)
  cast = [_choice(draw, own)]
  cast += [others.pop(draw(0, len(others) - 1)) for _ in turns]
  words = dict(pronouns, name=cast[0])
  if scene.settings:
    words |= _choice(draw, scene.settings)
  question, solution = [], []
  for turn, last, friend in zip(turns, cast, cast[1:], strict=False):
    words |= turn.numbers
    words['last'], words['friend'] = last, friend
    k = turn.numbers.get('k')
    words['times'], words['part'] = _TIMES.get(k), _PARTS.get(k)
    words['Part'] = _PARTS.get(k, '').capitalize()
    question.append(_choice(draw, turn.move.telling).format_map(words))
    for wordings, (sum_, result) in zip(
      turn.move.solution, turn.calculations, strict=True
    ):
      words['eq'], words['usd'] = f'{sum_} = {result}', f'{sum_} = ${result}'
      solution.append(_choice(draw, wordings).format_map(words))
  solution.append(f'#### {result}')
  return ' '.join(question), '\n'.join(solution)


def _split_of(turns: list[_Turn]) -> str:
  """Returns the split of the turns' skeleton: '3 * 4 = 12; 12 + 5 = 17'."""
  skeleton = '; '.join(
    f'{calculation} = {result}'
    for turn in turns
    for calculation, result in turn.calculations
  )
  digest = hashlib.blake2b(skeleton.encode(), digest_size=1).digest()
  return _SPLITS[digest[0] % len(_SPLITS)]


@dataclasses.dataclass(frozen=True)
class Generated:
  """A source of problems for `gsm8k.Gsm8k`; problem i is drawn from i alone.

  Attributes:
    seed: another seed gives other problems, split the same way.
  """

  seed: int = 0

  def problem(self, split: str, index: int) -> tuple[str, str]:
    """Returns a question and its worked solution.

    Args:
      split: 'train', 'validation' or 'test'.
      index: any number from 0 on.

    Raises:
      ValueError: for another split or a negative index.
    """
    if split not in _SPLITS or index < 0:
      raise ValueError(
        f'No problem {index} of split {split!r}: splits are train, validation '
        'and test, indices start at 0.'
      )
    uniform = random.Random(f'{self.seed}/{split}/{index}').random

    def draw(low, high):
      return low + int(uniform() * (high - low + 1))

    num_steps = draw(_MIN_STEPS, _MAX_STEPS)
    while True:
      scene = _choice(draw, _SCENES)
      turns = _plan(draw, scene, num_steps)
      if turns and _split_of(turns) == split:
        return _tell(draw, scene, turns)


def task(seed: int = 0) -> gsm8k.Gsm8k:
  """Generated word problems, in the class that reads official GSM8K."""
  return gsm8k.Gsm8k(
    source=Generated(seed), name='word_problems', max_new_tokens=128
  )
