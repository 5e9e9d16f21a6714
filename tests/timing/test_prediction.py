import pytest

from speccascade.timing import costs as costs_lib
from speccascade.timing import prediction

COSTS = costs_lib.Costs(
  drafter_step=0.5,
  verifier_block={1: 3.0, 3: 4.0, 5: 7.0},
  prefill={
    32: {'drafter': 1.0, 'verifier': 10.0},
    64: {'drafter': 2.0, 'verifier': 20.0},
  },
)
OUTPUTS = [
  {'tokens': 5, 'from_drafter': '11011'},  # gamma 2: 11 0, 11
  {'tokens': 4, 'from_drafter': '1111'},  # 111, 1
  {'tokens': 1, 'from_drafter': '0'},
]
WIDTHS = [32, 64, 32]


def _seconds(**facts):
  return prediction.seconds(OUTPUTS, WIDTHS, COSTS, **facts)


def test_fixed_drafts_take_their_calls_and_prefills():
  # Five calls of three drafter steps and a block of three.
  want = 5 * (3 * 0.5 + 4.0) + 2 * 11.0 + 22.0
  assert _seconds(gamma=2) == pytest.approx(want / 1e3)


def test_a_call_for_each_token_at_gamma_0():
  want = 10 * (0.5 + 3.0) + 2 * 11.0 + 22.0
  assert _seconds(gamma=0) == pytest.approx(want / 1e3)


def test_a_model_alone_takes_its_steps_and_prefills():
  verifier, drafter = _seconds(role='verifier'), _seconds(role='drafter')
  assert verifier == pytest.approx((10 * 3.0 + 40.0) / 1e3)
  assert drafter == pytest.approx((10 * 0.5 + 4.0) / 1e3)


def test_nothing_is_predicted_without_facts():
  assert _seconds() is None


def test_a_model_alone_has_no_gamma():
  with pytest.raises(ValueError, match='gamma must be None for drafter alone'):
    _seconds(role='drafter', gamma=2)
