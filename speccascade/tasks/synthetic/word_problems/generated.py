"""Generates grade-school word problems in GSM8K's format.

A problem consists of an opening, steps and an ending of one scene, with two to
six calculations in all; names and wordings are drawn at random. Its skeleton,
the calculations alone, decides its split, so no two splits share a problem
with other names, wordings or scenes.
"""

import dataclasses

from speccascade.tasks import base, gsm8k
from speccascade.tasks.example import Example
from speccascade.tasks.synthetic.draws import Draw, choice, drawer, split_of
from speccascade.tasks.synthetic.word_problems import templates

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

Calculation = tuple[int, str, int]  # left, sign, right
Scene = templates.Scene


@dataclasses.dataclass(frozen=True)
class _Turn:
  """A move with its numbers and its calculations, each '3 * 4' and 12."""

  move: templates.Move
  numbers: dict[str, int]
  calculations: list[tuple[str, int]]


# Operations: (draw, x, scene) -> numbers for the telling, calculations. x is
# the quantity so far; the last calculation gives the next one. A draw may be
# impossible, as where x has no divisor; `_calculate` detects that.


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
  """Returns ('3 * 4', 12) for each, or None if one is out of bounds."""
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
  """Draws moves of `num_steps` calculations; None if the draw fails."""
  moves = [choice(draw, scene.opening)]
  ending = choice(draw, scene.ending)
  remaining = num_steps - moves[0].num_steps - ending.num_steps
  while remaining > 0:
    step = choice(draw, scene.step)
    if step is moves[-1]:
      return None
    moves.append(step)
    remaining -= step.num_steps
  if remaining < 0:
    return None
  return [*moves, ending]


def _plan(draw: Draw, scene: Scene, num_steps: int) -> list[_Turn] | None:
  """Draws moves and numbers; None if a number is out of bounds."""
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
  """Returns the question and the worked solution of a problem."""
  # Friends are of the other gender: a pronoun means one person only.
  own, other, pronouns = choice(draw, _GENDERS)
  others = list(other)
  cast = [choice(draw, own)]
  cast += [others.pop(draw(0, len(others) - 1)) for _ in turns]
  words = dict(pronouns, name=cast[0])
  if scene.settings:
    words |= choice(draw, scene.settings)
  question, solution = [], []
  for turn, last, friend in zip(turns, cast, cast[1:], strict=False):
    words |= turn.numbers
    words['last'], words['friend'] = last, friend
    k = turn.numbers.get('k')
    words['times'], words['part'] = _TIMES.get(k), _PARTS.get(k)
    words['Part'] = _PARTS.get(k, '').capitalize()
    question.append(choice(draw, turn.move.telling).format_map(words))
    for wordings, (sum_, result) in zip(
      turn.move.solution, turn.calculations, strict=True
    ):
      words['eq'], words['usd'] = f'{sum_} = {result}', f'{sum_} = ${result}'
      solution.append(choice(draw, wordings).format_map(words))
  solution.append(f'#### {result}')
  return ' '.join(question), '\n'.join(solution)


def _split_of(turns: list[_Turn]) -> str:
  """Returns the split of the turns' skeleton: '3 * 4 = 12; 12 + 5 = 17'."""
  skeleton = '; '.join(
    f'{calculation} = {result}'
    for turn in turns
    for calculation, result in turn.calculations
  )
  return split_of(skeleton)


@dataclasses.dataclass(frozen=True)
class Source:
  """Generates problems; problem i depends on i alone.

  Attributes:
    seed: another seed gives other problems, split the same way.
  """

  seed: int = 0

  def example(self, split: str, index: int) -> Example:
    """Returns a question and its worked solution.

    Args:
      split: 'train', 'validation' or 'test'.
      index: any number from 0 on.

    Raises:
      ValueError: if there is no such split, or `index` is negative.
    """
    draw = drawer(self.seed, split, index)
    num_steps = draw(_MIN_STEPS, _MAX_STEPS)
    while True:
      scene = choice(draw, _SCENES)
      turns = _plan(draw, scene, num_steps)
      if turns and _split_of(turns) == split:
        return gsm8k.make_example(index, *_tell(draw, scene, turns))


def task(seed: int = 0) -> base.Task:
  """Generated word problems, in GSM8K's format."""
  return base.SourceTask(
    name='word_problems',
    metric='exact_match',
    max_new_tokens=128,
    source=Source(seed),
    extract=gsm8k.extract_answer,
    nothing=gsm8k.INVALID,
  )
