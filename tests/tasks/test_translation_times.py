import random

import pytest

from speccascade.tasks import translation_times as times


@pytest.mark.parametrize(
  ('n', 'english', 'german'),
  [
    (1, 'one', 'eins'),
    (7, 'seven', 'sieben'),
    (12, 'twelve', 'zwölf'),
    (16, 'sixteen', 'sechzehn'),
    (17, 'seventeen', 'siebzehn'),
    (20, 'twenty', 'zwanzig'),
    (21, 'twenty-one', 'einundzwanzig'),
    (30, 'thirty', 'dreißig'),
    (47, 'forty-seven', 'siebenundvierzig'),
    (66, 'sixty-six', 'sechsundsechzig'),
    (70, 'seventy', 'siebzig'),
    (99, 'ninety-nine', 'neunundneunzig'),
    (100, 'a hundred', 'hundert'),
  ],
)
def test_numbers(n, english, german):
  assert times.english_number(n) == english
  assert times.german_number(n) == german


def test_numbers_differ():
  for number in (times.english_number, times.german_number):
    assert len({number(n) for n in range(101)}) == 101


@pytest.mark.parametrize(
  ('n', 'english', 'german'),
  [
    (1, 'first', 'erst'),
    (2, 'second', 'zweit'),
    (3, 'third', 'dritt'),
    (7, 'seventh', 'siebt'),
    (8, 'eighth', 'acht'),
    (12, 'twelfth', 'zwölft'),
    (19, 'nineteenth', 'neunzehnt'),
    (20, 'twentieth', 'zwanzigst'),
    (21, 'twenty-first', 'einundzwanzigst'),
    (30, 'thirtieth', 'dreißigst'),
  ],
)
def test_ordinals(n, english, german):
  assert times.english_ordinal(n) == english
  assert times.german_ordinal(n) == german


@pytest.mark.parametrize(
  ('hour', 'minute', 'english', 'german'),
  [
    (1, 0, "at one o'clock", 'um ein Uhr'),
    (11, 0, "at eleven o'clock", 'um elf Uhr'),
    (1, 10, 'at ten past one', 'um zehn nach eins'),
    (3, 15, 'at a quarter past three', 'um Viertel nach drei'),
    (3, 30, 'at half past three', 'um halb vier'),
    (12, 30, 'at half past twelve', 'um halb eins'),
    (3, 45, 'at a quarter to four', 'um Viertel vor vier'),
    (3, 50, 'at ten to four', 'um zehn vor vier'),
    (12, 40, 'at twenty to one', 'um zwanzig vor eins'),
  ],
)
def test_clock_times(hour, minute, english, german):
  assert times.clock(hour, minute) == times.Time(english, (german,))


def test_dates():
  assert times.date(3, 'May') == times.Time(
    'on the third of May', ('am dritten Mai',)
  )
  assert times.date(21, 'March') == times.Time(
    'on the twenty-first of March', ('am einundzwanzigsten März',)
  )


def test_drawn_times_belong_together():
  uniform = random.Random(0).random

  def draw(low, high):
    return low + int(uniform() * (high - low + 1))

  pairs = set()
  for _ in range(2000):
    for time in (
      times.past(draw, 'any'), times.past(draw, 'near'),
      times.future(draw, 'any'),
      times.habit(draw), times.now(draw), times.since(draw, 'years'),
    ):  # fmt: skip
      pairs |= {(time.english, german) for german in time.german}
  assert {
    ('three days ago', 'vor drei Tagen'),
    ('last Monday', 'am letzten Montag'),
    ('next Sunday', 'nächsten Sonntag'),
    ('last Saturday', 'letzten Sonnabend'),
    ('on Fridays', 'freitags'),
    ('in two weeks', 'in zwei Wochen'),
    ('a year ago', 'vor einem Jahr'),
    ('for ten years', 'seit zehn Jahren'),
    ('yesterday at half past two', 'gestern um halb drei'),
    ('every day at one o\'clock', 'jeden Tag um ein Uhr'),
    ('last summer', 'im letzten Sommer'),
  } <= pairs  # fmt: skip
