import itertools
import json
import pathlib
import shutil

import pytest

from speccascade import checkpoints, pairs, tokenizers
from speccascade.checkpoints import convert, file, native, orbax
from speccascade.models import registry
from tests.checkpoints import folders, random_model
from tests.runs import entry_point
from tests.tokenizers import folders as tokenizer_folders

SCRIPT = pathlib.Path(__file__).parents[2] / 'scripts/convert_checkpoint.py'
CONFIG = registry.FAMILIES['gemma2'].examples[0]


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  folder = tmp_path_factory.mktemp('whole') / 'source'
  return folders.write(folder, CONFIG, shards=2)


@pytest.fixture
def folder(whole, tmp_path):
  return shutil.copytree(whole, tmp_path / 'source')


def _files(path):
  found = [path] if path.is_file() else sorted(path.rglob('*'))
  return {x: x.read_bytes() for x in found if x.is_file()}


@pytest.mark.parametrize(
  ('first', 'second'), itertools.permutations(convert.FORMATS, 2)
)
def test_every_format_becomes_every_other(tmp_path, folder, first, second):
  want = checkpoints.load(folder)
  told = convert.convert(folder, tmp_path / 'a', first, None)
  assert told.startswith(f'{tmp_path / "a"}: ')
  assert told.endswith(' parameters in bfloat16')
  convert.convert(tmp_path / 'a', tmp_path / 'b', second, None)
  for name in 'ab':
    config, params = checkpoints.load(tmp_path / name)
    assert config == want[0]
    random_model.assert_equal(params, want[1])


@pytest.mark.parametrize('form', convert.FORMATS)
def test_values_are_rounded_only_if_told(tmp_path, form):
  params = random_model.params(CONFIG)
  params['final_norm']['scale'] /= 3  # Not in bfloat16.
  native.save(tmp_path / 'm', CONFIG, params, 'float32')
  convert.convert(tmp_path / 'm', tmp_path / 'a', form, None)
  random_model.assert_equal(checkpoints.load(tmp_path / 'a')[1], params)
  convert.convert(tmp_path / 'm', tmp_path / 'b', form, 'bfloat16')
  assert max(map(len, _files(tmp_path / 'b').values())) < max(
    map(len, _files(tmp_path / 'a').values())
  )


@pytest.mark.parametrize('form', convert.FORMATS)
def test_the_same_model_gives_the_same_digest(tmp_path, folder, form):
  for name in 'ab':
    convert.convert(folder, tmp_path / name, form, None)
  if form != 'orbax':  # Which tells when it was written.
    a, b = (_files(tmp_path / name).values() for name in 'ab')
    assert list(a) == list(b)


@pytest.mark.parametrize('form', convert.FORMATS)
def test_what_is_there_is_kept(tmp_path, folder, form):
  for name, make in (('a', pathlib.Path.touch), ('b', pathlib.Path.mkdir)):
    make(tmp_path / name)
    with pytest.raises(ValueError, match=f'{name} is there; remove it or give'):
      convert.convert(folder, tmp_path / name, form, None)
  assert not (tmp_path / 'a').read_bytes()
  assert not list((tmp_path / 'b').iterdir())


@pytest.mark.parametrize('form', convert.FORMATS)
def test_a_damaged_source_is_not_written(tmp_path, form):
  native.save(tmp_path / 'm', CONFIG, random_model.params(CONFIG))
  data = bytearray((tmp_path / 'm').read_bytes())
  data[-1] ^= 1
  (tmp_path / 'm').write_bytes(data)
  with pytest.raises(ValueError, match='m: damaged: it does not have the SHA'):
    convert.convert(tmp_path / 'm', tmp_path / 'out', form, None)
  assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('form', ['orbax', 'hugging_face'])
def test_a_tokenizer_goes_with_its_model(tmp_path, folder, form):
  names = 'tokenizer.model', 'generation_config.json'
  for name in names:
    (folder / name).write_text(f'{{"name": "{name}"}}')
  (folder / 'notes.txt').touch()
  convert.convert(folder, tmp_path / 'out', form, None)
  for name in names:
    assert (tmp_path / 'out' / name).read_text() == f'{{"name": "{name}"}}'
  assert not (tmp_path / 'out' / 'notes.txt').exists()
  random_model.assert_equal(
    checkpoints.load(tmp_path / 'out')[1], checkpoints.load(folder)[1]
  )


def test_a_shipped_model_is_written_for_others(tmp_path):
  path = pathlib.Path(pairs.__file__).parent / 'translation/drafter.safetensors'
  convert.convert(path, tmp_path / 'out', 'hugging_face', None)
  names = file.open(tmp_path / 'out' / 'model.safetensors').tensors
  assert 'encoder.block.0.layer.0.SelfAttention.q.weight' in names
  random_model.assert_equal(
    checkpoints.load(tmp_path / 'out')[1], checkpoints.load(path)[1]
  )


def test_the_command(tmp_path, folder, capsys):
  flags = f'--checkpoint={folder}', f'--out={tmp_path / "out"}'
  assert not entry_point.run_file(SCRIPT, *flags)
  config = checkpoints.load(tmp_path / 'out')[0]
  assert config == CONFIG
  assert 'parameters in bfloat16' in capsys.readouterr().out
  assert 'is there; remove it' in entry_point.run_file(SCRIPT, *flags)
  shutil.rmtree(folder)
  missing = f'--checkpoint={folder}', f'--out={tmp_path / "other"}'
  assert 'source: no such checkpoint' in entry_point.run_file(SCRIPT, *missing)
  assert not orbax.is_one(tmp_path)


@pytest.mark.parametrize('form', ['orbax', 'hugging_face'])
def test_all_that_ends_answers_is_kept(tmp_path, folder, form):
  own = tokenizer_folders.write(folder.with_name('tokenizer'))
  for path in own.iterdir():
    shutil.copy(path, folder)
  config = json.loads((folder / 'config.json').read_text())
  config['eos_token_id'] = [0, 5]
  (folder / 'config.json').write_text(json.dumps(config))
  (folder / 'generation_config.json').write_text('{"eos_token_id": 7, "a": 1}')
  convert.convert(folder, tmp_path / 'out', form, None)
  want, got = (tokenizers.load(x).eos_ids for x in (folder, tmp_path / 'out'))
  assert got == want
  assert {0, 5, 7} <= set(got)
  told = json.loads((tmp_path / 'out' / 'generation_config.json').read_text())
  assert told['a'] == 1
  (folder / 'generation_config.json').write_text('{')
  with pytest.raises(ValueError, match='generation_config.json: .*copy it ag'):
    convert.convert(folder, tmp_path / 'other', form, None)
  assert not (tmp_path / 'other').exists()
