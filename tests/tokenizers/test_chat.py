"""Chat templates."""

import pytest

from speccascade import tokenizers
from speccascade.tokenizers import chat
from tests.tokenizers import folders, stand_ins

MESSAGES = [
  {'role': 'user', 'content': ' Is "a" < b?'},
  {'role': 'assistant', 'content': 'No.'},
  {'role': 'user', 'content': 'Why?\n'},
]


def _render(source, messages=(), **variables):
  template = chat.Template('template', source, {'eos_token': '</s>'})
  return template.render(messages, **variables)


@pytest.fixture(scope='module')
def tokenizer(tmp_path_factory):
  return tokenizers.load(folders.write(tmp_path_factory.mktemp('chat')))


def test_a_chat_by_hand(tokenizer):
  text = tokenizer.chat(MESSAGES)
  assert text == (
    '<s><|im_start|>user\n Is "a" < b?<|im_end|>\n'
    '<|im_start|>assistant\nNo.<|im_end|>\n'
    '<|im_start|>user\nWhy?\n<|im_end|>\n'
    '<|im_start|>assistant\n'
  )
  ends = [t for t in tokenizer.encode(text) if t == tokenizer.eos_ids[1]]
  assert len(ends) == 3


def test_blocks_leave_no_space_of_their_own():
  assert _render('a\n  {% if true %}\nb\n  {% endif %}\nc') == 'a\nb\nc'


def test_what_templates_may_use():
  assert _render('{{ eos_token }}{{ add_generation_prompt }}') == '</s>True'
  assert _render('{{ think }}{{ bos_token }}', think=False) == 'False'
  assert _render('{{ {"a": "<é>"} | tojson }}') == '{"a": "<é>"}'
  assert _render('{% generation %}a{% endgeneration %}b') == 'ab'
  loop = '{% for i in [1, 2, 3] %}{% if i > 2 %}{% break %}{% endif %}{{ i }}'
  assert _render(loop + '{% endfor %}') == '12'
  assert len(_render('{{ strftime_now("%Y-%m-%d") }}')) == 10


@pytest.mark.parametrize(
  ('source', 'reason'),
  [
    ('{{ raise_exception("roles must\n alternate") }}', 'roles must alternate'),
    ('{{ messages[0].content }}', 'tuple object has no element 0'),
    ('{{ 1 + "a" }}', 'unsupported operand'),
    ('{% if %}', 'Expected an expression'),
    ('{{ messages.__class__.__mro__ }}', 'is unsafe'),
  ],
)
def test_a_template_that_raises_is_named_in_one_line(source, reason):
  with pytest.raises(ValueError, match=f'^the chat template of tem.*{reason}'):
    _render(source)


def test_a_role_that_is_refused(tokenizer):
  with pytest.raises(
    ValueError, match='of .*tokenizer_config.json refuses .*: no role system'
  ):
    tokenizer.chat([{'role': 'system', 'content': 'Be brief.'}])


def test_without_a_template():
  tokenizer = tokenizers.load(stand_ins.SHIPPED)
  with pytest.raises(
    ValueError, match='tokenizer.model has no chat template; give the prompt as'
  ):
    tokenizer.chat(MESSAGES)
