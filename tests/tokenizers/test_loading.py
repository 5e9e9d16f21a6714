"""What the files beside a vocabulary tell of it."""

import json
import shutil

import pytest

from speccascade import tokenizers
from tests.tokenizers import folders, stand_ins

MODEL = str(stand_ins.SHIPPED / 'tokenizer.model')


def _config(**changes):
  return {k: v for k, v in (folders.CONFIG | changes).items() if v is not None}


def _refused(path, message):
  with pytest.raises(ValueError, match=message) as error:
    tokenizers.load(path)
  assert '\n' not in str(error.value)


# --- Files.


def test_what_is_not_there(tmp_path):
  _refused(tmp_path / 'none.model', '^there is no tokenizer at .*none.model$')
  _refused(
    tmp_path, 'is a folder, not a tokenizer, and has none of tokenizer.j'
  )
  (tmp_path / 'tokenizer.json').mkdir()
  _refused(tmp_path, 'is a folder, not a tokenizer')


def test_a_folder_s_files_in_their_order(tmp_path):
  shutil.copy(MODEL, tmp_path / 'spiece.model')
  assert tokenizers.load(tmp_path).path == str(tmp_path / 'spiece.model')
  shutil.copy(MODEL, tmp_path / 'tokenizer.model')
  assert tokenizers.load(tmp_path).path == str(tmp_path / 'tokenizer.model')
  folders.write(tmp_path)
  assert tokenizers.load(tmp_path).path == str(tmp_path / 'tokenizer.json')
  by_file = tokenizers.load(str(tmp_path / 'tokenizer.json'))
  assert by_file.digest == tokenizers.load(str(tmp_path)).digest


def test_a_folder_has_a_tokenizer_or_none(tmp_path):
  assert not tokenizers.is_in(tmp_path)
  assert tokenizers.is_in(folders.write(tmp_path))
  assert not tokenizers.is_in(tmp_path / 'tokenizer.json')


@pytest.mark.parametrize('name', ['tokenizer_config', 'config'])
def test_settings_that_are_damaged(tmp_path, name):
  folders.write(tmp_path)
  file = tmp_path / f'{name}.json'
  for text in ('{"bos_token": "<s>"', '', '{"a": 1, "a": 2}'):
    file.write_text(text)
    _refused(tmp_path, f'^{file}: .*; copy it again$')
  file.write_text('[]')
  _refused(tmp_path, f'^{file} holds no fields; copy it again$')
  file.unlink()
  file.mkdir()
  _refused(tmp_path, f'^{file} is a folder, not a file; copy it again$')


# --- What ends an answer.


def test_all_that_ends_an_answer_counts(tmp_path):
  """The tokenizer's own first, and each but once."""

  def write(**files):
    return tokenizers.load(folders.write(tmp_path, **files)).eos_ids

  plain = _config(chat_template=None)
  assert write(config=plain) == (0,)
  assert write() == (0, 2)  # The template ends turns with <|im_end|>.
  assert write(config=_config(eos_token='<|im_end|>')) == (2,)
  told = dict(generation_config={'eos_token_id': [2, 5, 0]})
  assert write(config=plain, **told) == (0, 2, 5)
  (tmp_path / 'config.json').write_text('{"eos_token_id": 7}')
  assert write(config=plain) == (0, 2, 5, 7)
  (tmp_path / 'config.json').write_text('{"text_config": {"eos_token_id": 8}}')
  assert write(config=_config(eos_token=None)) == (2, 5, 0, 8)


def test_what_ends_an_answer_has_no_text(tmp_path):
  told = {'eos_token_id': [260]}
  tokenizer = tokenizers.load(folders.write(tmp_path, generation_config=told))
  assert tokenizer.piece(260) == 'the'
  assert tokenizer.decode([67, 260]) == tokenizer.decode([67])
  assert list(tokenizers.spell(tokenizer, [67, 260])) == ['a', '', '']


def test_nothing_that_ends_an_answer(tmp_path):
  folders.write(tmp_path, config={})
  _refused(
    tmp_path,
    'tokenizer.json has no piece that ends an answer; name its eos_token in '
    '.*tokenizer_config.json$',
  )


def test_another_file_names_the_pieces_too(tmp_path):
  """But counts less than `tokenizer_config.json`."""
  told = {'eos_token': {'content': '<|im_start|>'}, 'pad_token': '<|im_end|>'}
  folders.write(tmp_path, config={}, special_tokens_map=told)
  tokenizer = tokenizers.load(tmp_path)
  assert (tokenizer.eos_ids, tokenizer.pad_id) == ((1,), 2)
  folders.write(tmp_path, special_tokens_map=told)
  assert tokenizers.load(tmp_path).eos_ids == (0, 2)


@pytest.mark.parametrize(
  ('files', 'message'),
  [
    (
      dict(generation_config={'eos_token_id': [0, 265]}),
      'generation_config.json: eos_token_id 265 is no piece of .*tokenizer.jso',
    ),
    (
      dict(config={'eos_token': '<eos>'}),
      "tokenizer.json has no piece '<eos>', the eos_token that the files besi",
    ),
    (
      dict(generation_config={'eos_token_id': 'two'}),
      "generation_config.json: eos_token_id is 'two', not an id or a list of",
    ),
    (
      dict(generation_config={'eos_token_id': [True]}),
      'generation_config.json: eos_token_id is .True., not an id',
    ),
    (
      dict(config={'eos_token': 2}),
      'tokenizer_config.json: eos_token is 2, not a piece; remove it',
    ),
    (
      dict(config=_config(chat_template=3)),
      'tokenizer_config.json: chat_template is no text; copy it again',
    ),
  ],
)
def test_settings_that_do_not_fit(tmp_path, files, message):
  _refused(folders.write(tmp_path, **files), message)


# --- What is around a prompt.


@pytest.mark.parametrize('told', [True, False])
def test_of_json_the_post_processor_tells(tmp_path, told):
  """As of `transformers` 5, whose classes do not look at add_bos_token."""
  folders.write(tmp_path, config=_config(add_bos_token=told))
  assert tokenizers.load(tmp_path).beginning == (263,)
  folders.write(
    tmp_path, folders.of_bytes(begins=False), _config(add_bos_token=told)
  )
  assert tokenizers.load(tmp_path).beginning == ()


@pytest.mark.parametrize(
  ('config', 'beginning', 'ending'),
  [
    ({}, (2,), ()),
    ({'add_bos_token': True, 'add_eos_token': False}, (2,), ()),
    ({'add_bos_token': False, 'add_eos_token': True}, (), (1,)),
    ({'add_bos_token': True, 'bos_token': '<pad>'}, (0,), ()),
    ({'add_bos_token': False, 'tokenizer_class': 'T5Tokenizer'}, (), (1,)),
  ],
)
def test_of_sentencepiece_the_settings_tell(
  tmp_path, config, beginning, ending
):
  shutil.copy(MODEL, tmp_path / 'tokenizer.model')
  (tmp_path / 'tokenizer_config.json').write_text(json.dumps(config))
  tokenizer = tokenizers.load(tmp_path)
  assert (tokenizer.beginning, tokenizer.ending) == (beginning, ending)
  text = tokenizer.encode('Tom')
  assert tokenizer.prompt('Tom') == [*beginning, *text, *ending]


def test_a_model_of_t5_tells_its_tokenizer_s_class(tmp_path):
  shutil.copy(MODEL, tmp_path / 'spiece.model')
  (tmp_path / 'config.json').write_text('{"model_type": "t5"}')
  assert tokenizers.load(tmp_path).ending == (1,)
  (tmp_path / 'config.json').write_text('{"model_type": "gemma2"}')
  assert tokenizers.load(tmp_path).ending == ()


# --- Chat templates.


def test_a_template_of_its_own_file_counts_more(tmp_path):
  folders.write(tmp_path)
  (tmp_path / 'chat_template.jinja').write_text('{{ messages[0].content }}')
  tokenizer = tokenizers.load(tmp_path)
  assert tokenizer.chat([{'content': 'Hi'}]) == 'Hi'
  assert tokenizer.eos_ids == (0,)
  (tmp_path / 'chat_template.jinja').write_text('{{ x.y.z }}')
  with pytest.raises(ValueError, match='chat template of .*template.jinja ref'):
    tokenizers.load(tmp_path).chat([])
  (tmp_path / 'chat_template.jinja').write_bytes(b'\xff')
  _refused(tmp_path, 'chat_template.jinja is not UTF-8; copy it again$')


def test_the_default_of_several_templates(tmp_path):
  several = [
    {'name': 'tool_use', 'template': 'tools'},
    {'name': 'default', 'template': 'plain'},
  ]
  folders.write(tmp_path, config=_config(chat_template=several))
  assert tokenizers.load(tmp_path).chat([]) == 'plain'
  folders.write(tmp_path, config=_config(chat_template=several[:1]))
  _refused(
    tmp_path,
    "tokenizer_config.json: of the chat templates 'tool_use' none is named",
  )


def test_a_template_knows_the_pieces_that_only_the_vocabulary_tells(tmp_path):
  folders.write(tmp_path, config=_config(bos_token=None))
  (tmp_path / 'chat_template.jinja').write_text('{{ bos_token }}Hi')
  tokenizer = tokenizers.load(tmp_path)
  assert tokenizer.chat([]) == f'{tokenizer.codec.piece(263)}Hi'
  assert tokenizer.prompt('')[:1] == [263]


def test_a_template_writes_no_piece_that_the_vocabulary_lacks(tmp_path):
  shutil.copy(MODEL, tmp_path / 'tokenizer.model')
  added = {'768': {'content': '<|im_start|>'}, '769': {'content': '<extra>'}}
  config = {'added_tokens_decoder': added, 'chat_template': 'Hi'}
  file = tmp_path / 'tokenizer_config.json'
  file.write_text(json.dumps(config))
  assert tokenizers.load(tmp_path).chat([]) == 'Hi'
  file.write_text(json.dumps(config | {'chat_template': '<|im_start|>'}))
  _refused(tmp_path, "no piece '<|im_start|>', which the chat template writes")
  file.write_text(json.dumps({'added_tokens_decoder': {'x': 1}}))
  _refused(tmp_path, 'added_tokens_decoder does not tell a piece for each id')


# --- Two tokenizers.


def _named(name, pieces):
  return stand_ins.make(stand_ins.Pieces(pieces), path=name, file_digest=name)


def test_the_same_pieces_are_the_same_tokenizer():
  a = _named('a', ['▁x', 'y'])
  for other in (['▁x', 'y', 'more'], ['▁x']):
    tokenizers.check_same(a, _named('b', other))
  tokenizers.check_same(_named('b', [' x']), a)
  with pytest.raises(
    ValueError,
    match="^the tokenizers differ: token 5 is 'y' in a, 'z' in b; a pair needs",
  ):
    tokenizers.check_same(a, _named('b', ['▁x', 'z', 'more']))


def test_formats_are_compared_by_content(tmp_path):
  """Here sentencepiece's bytes, and the same pieces as JSON."""
  shipped = tokenizers.load(stand_ins.SHIPPED)
  pieces = [shipped.piece(i) for i in range(4, shipped.vocab_size)]
  other = _named('json', pieces)
  tokenizers.check_same(shipped, other)
  of_json = tokenizers.load(folders.write(tmp_path))
  with pytest.raises(ValueError, match="token 0 is '<pad>' in .*, '<|endoftex"):
    tokenizers.check_same(shipped, of_json)
