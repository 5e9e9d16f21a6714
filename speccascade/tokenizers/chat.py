"""Chat templates, rendered as `transformers` renders them.

A template is a program of a checkpoint's author, so it runs in a sandbox.
"""

import dataclasses
import datetime
import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
import jinja2.ext
import jinja2.sandbox

# What a template that does not fit its messages raises.
_ERRORS = (
  jinja2.TemplateError,
  ArithmeticError,
  AttributeError,
  LookupError,
  TypeError,
  ValueError,
)


@dataclasses.dataclass(frozen=True)
class Template:
  """A chat template.

  Attributes:
    path: the file that it was read from, for messages.
    source: in jinja.
    tokens: the variables 'bos_token', 'eos_token', ... and their text.
  """

  path: str
  source: str
  tokens: Mapping[str, str]

  def render(
    self, messages: Sequence[Mapping[str, Any]], **variables: Any
  ) -> str:
    """See `base.Tokenizer.chat`."""
    told = dict(self.tokens, add_generation_prompt=True, **variables)
    try:
      return _compile(self.source).render(messages=messages, **told)
    except _ERRORS as error:
      raise ValueError(
        f'the chat template of {self.path} refuses the messages: '
        f'{" ".join(str(error).split())}'
      ) from None


@functools.cache
def _compile(source):
  environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
    trim_blocks=True,
    lstrip_blocks=True,
    extensions=[_Generation, jinja2.ext.loopcontrols],
  )
  environment.filters['tojson'] = _to_json
  environment.globals['raise_exception'] = _raise
  environment.globals['strftime_now'] = _now
  return environment.from_string(source)


class _Generation(jinja2.ext.Extension):
  """`{% generation %}`, which marks text that a trainer learns from."""

  tags = {'generation'}

  def parse(self, parser):
    next(parser.stream)
    return parser.parse_statements(['name:endgeneration'], drop_needle=True)


def _raise(message):
  raise jinja2.TemplateError(message)


def _now(form):
  return datetime.datetime.now().strftime(form)


def _to_json(
  x, ensure_ascii=False, indent=None, separators=None, sort_keys=False
):
  """Unlike jinja's own, which escapes HTML."""
  return json.dumps(
    x,
    ensure_ascii=ensure_ascii,
    indent=indent,
    separators=separators,
    sort_keys=sort_keys,
  )
