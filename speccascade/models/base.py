"""What a model family is: a configuration, a model and how it is sharded.

Shape letters are those of `speccascade.models`.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Protocol

import jax
import jax.numpy as jnp
import pydantic
from jax import lax

from speccascade.models import cache as cache_lib

# Types of a configuration's fields. Numbers of other types must be positive:
# see `registry.make_config`.
Dtype = Literal['bfloat16', 'float32', 'float64']
Layers = Annotated[int, pydantic.Field(ge=1, le=1_000)]  # Each is traced.
Token = Annotated[int, pydantic.Field(ge=0, lt=2**31)]


class Config(Protocol):
  """Architecture and compute settings: a frozen dataclass of JSON values.

  Attributes:
    vocab_size: V.
    dtype: compute type.
  """

  vocab_size: int
  dtype: Dtype


class Model(Protocol):
  """A model as pure functions of its parameters. Frozen and hashable.

  `prefill` and `extend` must agree with `forward`: whatever the blocks that a
  row is fed in, and whatever was rewound between them, `extend` returns the
  logits of a whole pass over the row. Rows do not depend on each other.
  """

  config: Config

  @property
  def vocab_size(self) -> int:
    """V."""

  def longest_prompt(self, max_new_tokens: int) -> int:
    """Returns the most prompt tokens that leave room for `max_new_tokens`."""

  def init(self, key: jax.Array) -> dict[str, Any]:
    """Returns random float32 parameters: a nested dict of arrays.

    Layer i of a stack has the name `layers_{i}`.
    """

  def stack(self, params: dict[str, Any]) -> dict[str, Any]:
    """Returns the parameters with layers stacked, as `stacking.stack` does.

    Of these all functions compute the same, by scans over the layers: large
    models then compile fast.
    """

  def fuse(self, params: dict[str, Any]) -> dict[str, Any]:
    """Returns the parameters as `fusing` lays them out for a GPU.

    Of these all functions compute the same. `params` is consumed.
    """

  def forward(self, params: dict[str, Any], *inputs: jax.Array) -> jax.Array:
    """Runs an uncached, causal pass.

    Args:
      params: from `init`.
      *inputs: int32 token_BxT; before it, if the family encodes its inputs,
        input_BxS and length_B.

    Returns:
      logits_BxTxV after each of the tokens, float32 or wider.
    """

  def hidden(self, params: dict[str, Any], *inputs: jax.Array) -> jax.Array:
    """Runs that pass up to the logits, which may not fit for all tokens.

    Args:
      params: from `init`.
      *inputs: as of `forward`.

    Returns:
      x_BxTxD, what `logits` takes of any of the tokens.
    """

  def logits(self, params: dict[str, Any], x_BxTxD: jax.Array) -> jax.Array:
    """Returns logits_BxTxV of what `hidden` returned, float32 or wider."""

  def prefill(
    self,
    params: dict[str, Any],
    token_BxS: jax.Array,
    length_B: jax.Array,
    *,
    new_tokens: int,
    block: int,
  ) -> tuple[cache_lib.Cache, jax.Array]:
    """Reads right-padded prompts.

    Args:
      params: from `init`.
      token_BxS: int32 prompts; what pads them has no effect.
      length_B: int32 lengths of the prompts, at least 1.
      new_tokens: most tokens that a row will hold after its prompt.
      block: longest block that `extend` will be given.

    Returns:
      (cache, token_B): the token is the first that `extend` must be given,
      and the cache holds what comes before it.
    """

  def chunks(
    self, params: dict[str, Any], rows: int, width: int
  ) -> tuple[int, int]:
    """Returns (number, tokens of each) of the chunks that prompts are read in.

    Args:
      params: from `init`.
      rows: read at a time.
      width: S, that they are padded to.
    """

  def blank(
    self,
    params: dict[str, Any],
    rows: int,
    width: int,
    *,
    new_tokens: int,
    block: int,
    chunk: int,
    shared: bool = False,
  ) -> cache_lib.Cache:
    """Returns a cache of no tokens, such as `prefill` fills.

    Args:
      params: from `init`.
      rows: B.
      width: S, most tokens of a prompt.
      new_tokens: as of `prefill`.
      block: likewise.
      chunk: from `chunks`.
      shared: as of `cache.empty`.
    """

  def within(
    self, function: Callable[..., Any], *args: Any, **named: Any
  ) -> Any:
    """Returns function(*args, **named), with caches divided as this model's."""

  def begin(
    self, token_BxS: jax.Array, length_B: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Returns (tokens that a cache of read prompts holds, `prefill`'s token_B).

    Args:
      token_BxS: int32 prompts.
      length_B: their lengths, at least 1.
    """

  def read(
    self,
    params: dict[str, Any],
    cache: cache_lib.Cache,
    token_BxS: jax.Array,
    length_B: jax.Array,
    i: jax.Array,
    chunk: int,
  ) -> cache_lib.Cache:
    """Reads chunk i of all prompts into a cache of `blank`.

    Args:
      params: from `init`.
      cache: with the chunks before it; its lengths do not matter.
      token_BxS: int32 prompts.
      length_B: their lengths, at least 1.
      i: from 0 to the last that holds a token that counts.
      chunk: from `chunks`.
    """

  def extend(
    self,
    params: dict[str, Any],
    cache: cache_lib.Cache,
    token_BxT: jax.Array,
    at_B: jax.Array | None = None,
  ) -> tuple[jax.Array, cache_lib.Cache]:
    """Appends a block to each row.

    Args:
      params: from `init`.
      cache: from `prefill` or `extend`; `cache.rewind` may shorten its rows.
      token_BxT: int32, T at most the `block` of `prefill`.
      at_B: the one token of each row whose logits are wanted; None is all.
        Those of a long block may not fit.

    Returns:
      (logits_BxTxV after each of the tokens, or logits_Bx1xV; the cache T
      tokens longer).
    """


class Reader:
  """What models of all families have, mostly of reading prompts.

  A family replaces what differs.
  """

  def within(self, function, *args, **named):
    """See `Model`."""
    return function(*args, **named)

  def fuse(self, params):
    """See `Model`: all stays apart."""
    return params

  def chunks(self, params, rows, width):
    """See `Model`: prompts are read at once."""
    del params, rows
    return 1, width

  def begin(self, token_BxS, length_B):
    """See `Model`: a cache holds all but the last token."""
    held_B = length_B - 1
    return held_B, jnp.take_along_axis(token_BxS, held_B[:, None], 1)[:, 0]

  def prefill(self, params, token_BxS, length_B, *, new_tokens, block):
    """See `Model`."""
    B, S = token_BxS.shape
    number, chunk = self.chunks(params, B, S)
    cache = self.blank(
      params, B, S, new_tokens=new_tokens, block=block, chunk=chunk
    )

    def read(i, cache):
      return self.read(params, cache, token_BxS, length_B, i, chunk)

    held_B, last_B = self.begin(token_BxS, length_B)
    if number == 1:
      cache = read(jnp.int32(0), cache)
    else:
      live = (held_B.max() + chunk - 1) // chunk
      cache = lax.fori_loop(0, live, read, cache)
    return cache_lib.rewind(cache, held_B), last_B


@dataclasses.dataclass(frozen=True)
class Format:
  """How the files of others tell a family's models.

  Attributes:
    settings: (fields, tensors) -> settings of the family, for
      `registry.make_config` to check: fields of a configuration file and
      handles of its tensors by name, as `checkpoints.tensors` has them; raises
      ValueError where they ask for what is not supported.
    names: configuration -> {our name of a parameter, joined by dots: (their
      name, pattern)}. A pattern is that of `checkpoints.layout`.
    kinds: names that such a configuration file has for the family.
    renamed: (regular expression, text) pairs: the start of their names that it
      matches is replaced before all else.
    ignored: regular expressions of tensors that the model does not need.
    fields: configuration -> fields of a configuration file, of which `settings`
      returns the configuration; None if models are not written in the format.
    taken: {their name of a field that `settings` takes as it is: ours}.
  """

  settings: Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Any]]
  names: Callable[[Any], Mapping[str, tuple[str, str]]]
  kinds: tuple[str, ...] = ()
  renamed: tuple[tuple[str, str], ...] = ()
  ignored: tuple[str, ...] = ()
  fields: Callable[[Any], dict[str, Any]] | None = None
  taken: Mapping[str, str] = dataclasses.field(default_factory=dict)


def unscanned(
  fields: Mapping[str, Any], tensors: Mapping[str, Any]
) -> dict[str, Any]:
  """Returns the settings of files that told whether layers are scanned.

  Raises:
    ValueError: they are: the file holds stacks.
  """
  del tensors
  if fields.get('scan_layers'):
    raise ValueError('scan_layers=True is of a file of stacks, not supported')
  return {name: x for name, x in fields.items() if name != 'scan_layers'}


@dataclasses.dataclass(frozen=True)
class Family:
  """Models of one architecture.

  Attributes:
    name: as training configs and checkpoint files have it.
    config: class of its configurations.
    model: makes a model of a configuration.
    partition: PartitionSpec of each parameter, by the last part of its name;
      stacked layers add a leading axis.
    encodes_input: whether an encoder reads the prompt apart from the answer.
    lengths: fields of a configuration that say how much a model may read;
      each with the field of a training config that says how long the rows
      were that the model was trained on.
    examples: tiny configurations, one a code path; the contract tests run
      each.
    formats: of the files of others, by the names that `checkpoints` has.
  """

  name: str
  config: type[Config]
  model: Callable[[Any], Model]
  partition: Mapping[str, jax.sharding.PartitionSpec]
  examples: tuple[Config, ...]
  encodes_input: bool = False
  lengths: Mapping[str, str] = dataclasses.field(default_factory=dict)
  formats: Mapping[str, Format] = dataclasses.field(default_factory=dict)
