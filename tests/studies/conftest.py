import pytest

from speccascade.models import presets
from speccascade.models.llama import config as llama
from tests.sweeps import tiny_pair


@pytest.fixture(scope='session')
def tiny_folder(tmp_path_factory):
  """The folder of a tiny pair."""
  return tiny_pair.save(tmp_path_factory.mktemp('studies') / 'pair')


@pytest.fixture
def tiny_preset(monkeypatch):
  """A published model's name, 'tiny', that compiles fast."""

  def make(**overrides):
    return llama.smollm2_135m(
      num_layers=2, embed_dim=8, num_heads=4, num_kv_heads=2, head_dim=4,
      hidden_dim=16, vocab_size=64, **overrides,
    )  # fmt: skip

  monkeypatch.setitem(presets.PRESETS, 'tiny', make)
