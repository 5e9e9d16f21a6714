import types

import pytest

from speccascade.sweeps import prediction, settings

COSTS = types.SimpleNamespace(
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


def _seconds(rule, plan=None):
  setting = settings.Setting(rule, None, 1.0, 1.0, 0, 0)
  return prediction.seconds(OUTPUTS, WIDTHS, COSTS, setting, plan)


def test_a_cascade_is_its_calls_and_prefills():
  # Five calls of three drafter steps and a block of three.
  want = 5 * (3 * 0.5 + 4.0) + 2 * 11.0 + 22.0
  got = _seconds('token_v3', settings.Plan(2))
  assert got == pytest.approx(want / 1e3)


def test_a_model_alone_is_its_steps_and_prefills():
  assert _seconds('verifier_alone') == pytest.approx((10 * 3.0 + 40.0) / 1e3)
  assert _seconds('drafter_alone') == pytest.approx((10 * 0.5 + 4.0) / 1e3)


def test_nothing_is_predicted_where_outputs_do_not_tell():
  assert _seconds('strict', settings.Plan(2, 'cost')) is None
  assert _seconds('token_cascade') is None
