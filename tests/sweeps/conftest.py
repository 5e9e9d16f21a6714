"""Sweeps go on while somebody edits the code."""

import pytest

from speccascade.runs import environment


@pytest.fixture(scope='session', autouse=True)
def _same_code():
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(environment, 'code_digest', lambda *rooms: 'code')
    yield
