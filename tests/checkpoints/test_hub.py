import shutil
import sys
import types

import pytest

from speccascade import checkpoints
from speccascade.checkpoints import hub
from speccascade.models import registry
from tests.checkpoints import folders, random_model

CONFIG = registry.FAMILIES['gemma2'].examples[0]


class _Error(Exception):
  pass


@pytest.fixture
def fetched(monkeypatch):
  """A hub of no models; what was asked of it, and what it then does."""
  asked, answers = [], []

  def snapshot_download(name, **options):
    asked.append((name, options))
    answer = answers.pop()
    if isinstance(answer, Exception):
      raise answer
    return str(answer)

  library = types.ModuleType('huggingface_hub')
  library.snapshot_download = snapshot_download
  library.errors = types.ModuleType('huggingface_hub.errors')
  library.errors.HfHubHTTPError = _Error
  monkeypatch.setitem(sys.modules, 'huggingface_hub', library)
  monkeypatch.setitem(sys.modules, 'huggingface_hub.errors', library.errors)
  return asked, answers


@pytest.mark.parametrize(
  ('name', 'is_name'),
  [
    ('google/gemma-2-2b', True),
    ('Qwen/Qwen2.5-Coder-0.5B', True),
    ('gemma', False),
    ('/google/gemma', False),
    ('./google/gemma', False),
    ('google/gemma/x', False),
    ('gs://google/gemma', False),
    ('', False),
  ],
)
def test_names(name, is_name):
  assert hub.is_name(name) == is_name


def test_a_folder_here_comes_first(tmp_path, monkeypatch, fetched):
  monkeypatch.chdir(tmp_path)
  folders.write(tmp_path / 'google' / 'gemma', CONFIG)
  assert checkpoints.load('google/gemma')[0] == CONFIG
  assert not fetched[0]


def test_a_model_of_the_hub_is_fetched(tmp_path, fetched):
  asked, answers = fetched
  answers.append(folders.write(tmp_path / 'cache', CONFIG))
  config, params = checkpoints.load('google/gemma')
  assert config == CONFIG
  random_model.assert_equal(params, checkpoints.load(tmp_path / 'cache')[1])
  ((name, options),) = asked
  assert name == 'google/gemma'
  assert '*.safetensors' in options['allow_patterns']
  assert '*.bin' not in options['allow_patterns']
  shutil.rmtree(tmp_path / 'cache')


@pytest.mark.parametrize('error', [_Error, OSError, ValueError])
def test_a_hub_that_gives_nothing(fetched, error):
  fetched[1].append(error('401\n\nClient Error'))
  message = (
    'google/gemma: there is no such folder, and the hub does not give it: 401 '
    'Client Error$'
  )
  with pytest.raises(ValueError, match=message):
    checkpoints.open('google/gemma')
