"""Numbers, clock times, dates and other times, in English and in German."""

from speccascade.tasks.synthetic.draws import Draw, choice
from speccascade.tasks.synthetic.translation.phrases import (
  Time,
)

_ENGLISH = (
  'zero one two three four five six seven eight nine ten eleven twelve '
  'thirteen fourteen fifteen sixteen seventeen eighteen nineteen'
).split()
_ENGLISH_TENS = 'twenty thirty forty fifty sixty seventy eighty ninety'.split()
_GERMAN = (
  'null ein zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn '
  'vierzehn fünfzehn sechzehn siebzehn achtzehn neunzehn'
).split()
_GERMAN_TENS = (
  'zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig'.split()
)
_ENGLISH_ORDINALS = {
  'one': 'first', 'two': 'second', 'three': 'third', 'five': 'fifth',
  'eight': 'eighth', 'nine': 'ninth', 'twelve': 'twelfth',
}  # fmt: skip
_GERMAN_ORDINALS = {1: 'erst', 3: 'dritt', 7: 'siebt', 8: 'acht'}

_MONTHS = {
  'January': 'Januar', 'February': 'Februar', 'March': 'März',
  'April': 'April', 'May': 'Mai', 'June': 'Juni', 'July': 'Juli',
  'August': 'August', 'September': 'September', 'October': 'Oktober',
  'November': 'November', 'December': 'Dezember',
}  # fmt: skip
_WEEKDAYS = {
  'Monday': ('Montag',), 'Tuesday': ('Dienstag',), 'Wednesday': ('Mittwoch',),
  'Thursday': ('Donnerstag',), 'Friday': ('Freitag',),
  'Saturday': ('Samstag', 'Sonnabend'), 'Sunday': ('Sonntag',),
}  # fmt: skip
_SEASONS = {
  'spring': 'Frühling', 'summer': 'Sommer', 'autumn': 'Herbst',
  'winter': 'Winter',
}  # fmt: skip
# Singular, one of it in the dative, and the dative plural.
_SPANS = {
  'hour': ('einer Stunde', 'Stunden'), 'day': ('einem Tag', 'Tagen'),
  'week': ('einer Woche', 'Wochen'), 'month': ('einem Monat', 'Monaten'),
  'year': ('einem Jahr', 'Jahren'),
}  # fmt: skip

_PAST = (
  Time('yesterday', ('gestern',)),
  Time('yesterday morning', ('gestern Morgen', 'gestern früh')),
  Time('yesterday evening', ('gestern Abend',)),
  Time('the day before yesterday', ('vorgestern',)),
  Time('this morning', ('heute Morgen', 'heute früh')),
  Time('last week', ('letzte Woche', 'in der letzten Woche')),
  Time('last weekend', ('letztes Wochenende', 'am letzten Wochenende')),
)
_FUTURE = (
  Time('tomorrow', ('morgen',)),
  Time('tomorrow morning', ('morgen früh',)),
  Time('tomorrow evening', ('morgen Abend',)),
  Time('the day after tomorrow', ('übermorgen',)),
  Time('this evening', ('heute Abend',)),
  Time('soon', ('bald',)),
  Time('next week', ('nächste Woche', 'in der nächsten Woche')),
  Time('next weekend', ('nächstes Wochenende', 'am nächsten Wochenende')),
)
_LONG_PAST = (
  Time('last month', ('letzten Monat', 'im letzten Monat')),
  Time('last year', ('letztes Jahr', 'im letzten Jahr')),
)
_LONG_FUTURE = (
  Time('next month', ('nächsten Monat', 'im nächsten Monat')),
  Time('next year', ('nächstes Jahr', 'im nächsten Jahr')),
)
_HABIT = (
  Time('every day', ('jeden Tag', 'täglich')),
  Time('every morning', ('jeden Morgen',)),
  Time('every evening', ('jeden Abend',)),
  Time('every week', ('jede Woche',)),
  Time('every weekend', ('jedes Wochenende',)),
  Time('in the morning', ('morgens', 'am Morgen')),
  Time('in the evening', ('abends', 'am Abend')),
  Time('at the weekend', ('am Wochenende',)),
  Time('after work', ('nach der Arbeit',)),
  Time('before breakfast', ('vor dem Frühstück',)),
  Time('after dinner', ('nach dem Abendessen',)),
)
_NOW = (
  Time('now', ('jetzt',)),
  Time('right now', ('gerade', 'im Moment')),
  Time('at the moment', ('im Moment', 'gerade', 'zurzeit')),
  Time('today', ('heute',)),
)


def english_number(n: int) -> str:
  """Writes out a number from 0 to 100."""
  if n == 100:
    return 'a hundred'
  if n < 20:
    return _ENGLISH[n]
  tens, units = divmod(n, 10)
  return _ENGLISH_TENS[tens - 2] + (f'-{_ENGLISH[units]}' if units else '')


def german_number(n: int) -> str:
  """Writes out a number from 0 to 100: 21 is 'einundzwanzig'."""
  if n == 100:
    return 'hundert'
  if n < 20:
    return 'eins' if n == 1 else _GERMAN[n]
  tens, units = divmod(n, 10)
  return (f'{_GERMAN[units]}und' if units else '') + _GERMAN_TENS[tens - 2]


def english_ordinal(n: int) -> str:
  """Writes out 'first' to 'ninety-ninth'."""
  head, hyphen, last = english_number(n).rpartition('-')
  ordinal = _ENGLISH_ORDINALS.get(last) or f'{last}th'.replace('yth', 'ieth')
  return head + hyphen + ordinal


def german_ordinal(n: int) -> str:
  """Writes out the stem: 'erst', 'zweit', 'zwanzigst'."""
  if n >= 20:
    return german_number(n) + 'st'
  return _GERMAN_ORDINALS.get(n) or german_number(n) + 't'


def clock(hour: int, minute: int) -> Time:
  """Returns a time of day; hour from 1 to 12, minutes 0, 5, 10, 15, ...

  Half past three is 'halb vier'; the hour alone is 'eins' but 'ein Uhr'.
  """
  following = hour % 12 + 1
  e, f = english_number(hour), english_number(following)
  g, h = german_number(hour), german_number(following)
  if minute == 0:
    g = g.replace('eins', 'ein')
    return Time(f"at {e} o'clock", (f'um {g} Uhr',))
  if minute == 30:
    return Time(f'at half past {e}', (f'um halb {h}',))
  if minute == 15:
    return Time(f'at a quarter past {e}', (f'um Viertel nach {g}',))
  if minute == 45:
    return Time(f'at a quarter to {f}', (f'um Viertel vor {h}',))
  if minute < 30:
    past = english_number(minute)
    return Time(
      f'at {past} past {e}', (f'um {german_number(minute)} nach {g}',)
    )
  to = 60 - minute
  return Time(
    f'at {english_number(to)} to {f}', (f'um {german_number(to)} vor {h}',)
  )


def date(day: int, month: str) -> Time:
  """Returns a date; the month in English."""
  german = f'am {german_ordinal(day)}en {_MONTHS[month]}'
  return Time(f'on the {english_ordinal(day)} of {month}', (german,))


def _clock(draw):
  return clock(draw(1, 12), choice(draw, (0, 0, 0, 5, 10, 15, 20, 30, 45, 50)))


def _date(draw):
  month = choice(draw, tuple(_MONTHS))
  return date(draw(1, 28 if month == 'February' else 30), month)


def _weekday(draw):
  return choice(draw, list(_WEEKDAYS.items()))


def _joined(day, hour):
  german = tuple(f'{a} {b}' for a in day.german for b in hour.german)
  return Time(f'{day.english} {hour.english}', german)


def span(draw: Draw, unit: str, low: int, high: int) -> tuple[str, str]:
  """Draws a time span: 'three years' and the German dative 'drei Jahren'."""
  n = draw(low, high)
  one, many = _SPANS[unit]
  if n == 1:
    return f'{"an" if unit == "hour" else "a"} {unit}', one
  return f'{english_number(n)} {unit}s', f'{german_number(n)} {many}'


def since(draw: Draw, unit: str) -> Time:
  """Draws a time up to now, 'for three years', in 'hours', 'years', ..."""
  english, german = span(draw, unit.removesuffix('s'), 1, 10)
  return Time(f'for {english}', (f'seit {german}',))


def past(draw: Draw, reach: str) -> Time:
  """Draws a time in the past.

  Args:
    draw: draws a number.
    reach: 'near' (up to weeks ago), 'any', or 'far' (months and years ago).
  """
  kind = draw(5, 9) if reach == 'near' else draw(0, 4) if reach == 'far' else (
    draw(0, 9)
  )  # fmt: skip
  if kind < 2:
    return choice(draw, _LONG_PAST)
  if kind < 4:
    english, german = span(draw, choice(draw, ('month', 'year')), 1, 12)
    return Time(f'{english} ago', (f'vor {german}',))
  if kind == 4:
    season, german = choice(draw, list(_SEASONS.items()))
    return Time(f'last {season}', (f'letzten {german}', f'im letzten {german}'))
  if kind < 7:
    return choice(draw, _PAST)
  if kind == 7:
    unit, most = choice(draw, (('hour', 3), ('day', 6), ('week', 3)))
    english, german = span(draw, unit, 2, most)
    return Time(f'{english} ago', (f'vor {german}',))
  return _any(draw, _PAST[0], 'last', 'letzten')


def _any(draw, day, said, german_said):
  """A clock time, a date or a weekday, which may be past or to come."""
  kind = draw(0, 4)
  if kind == 0:
    return _clock(draw)
  if kind == 1:
    return _date(draw)
  if kind == 2:
    return _joined(day, _clock(draw))
  weekday, german = _weekday(draw)
  if kind == 3:
    german = [f'{german_said} {name}' for name in german]
    german += [f'am {name}' for name in german]
    return Time(f'{said} {weekday}', tuple(german))
  weekday = Time(f'on {weekday}', tuple(f'am {name}' for name in german))
  return weekday if draw(0, 1) else _joined(weekday, _clock(draw))


def future(draw: Draw, reach: str) -> Time:
  """Draws a time in the future; `reach` as of `past`."""
  kind = draw(3, 9) if reach == 'near' else draw(0, 9)
  if kind == 0:
    english, german = span(draw, choice(draw, ('month', 'year')), 1, 6)
    return Time(f'in {english}', (f'in {german}',))
  if kind < 3:
    return choice(draw, _LONG_FUTURE)
  if kind < 6:
    return choice(draw, _FUTURE)
  if kind == 6:
    unit, most = choice(draw, (('hour', 3), ('day', 6), ('week', 3)))
    english, german = span(draw, unit, 2, most)
    return Time(f'in {english}', (f'in {german}',))
  return _any(draw, _FUTURE[0], 'next', 'nächsten')


def habit(draw: Draw, person: bool = True, daily: bool = False) -> Time:
  """Draws a time that recurs.

  Args:
    draw: draws a number.
    person: whether for a person; a train has no 'after work'.
    daily: whether it must be an hour of every day.
  """
  kind = 9 if daily else draw(0 if person else 6, 9)
  if kind < 6:
    return choice(draw, _HABIT)
  if kind == 6:
    season, german = choice(draw, list(_SEASONS.items()))
    return Time(f'in {season}', (f'im {german}',))
  day, german = _weekday(draw)
  if kind == 7:
    return Time(f'every {day}', tuple(f'jeden {g}' for g in german))
  if kind == 8:
    return Time(f'on {day}s', tuple(f'{g.lower()}s' for g in german))
  return _joined(_HABIT[0], _clock(draw))


def now(draw: Draw) -> Time:
  """Draws a present time."""
  return choice(draw, _NOW)
