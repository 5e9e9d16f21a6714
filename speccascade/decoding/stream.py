"""The cascade's loop in steps, so that answers are shown as they are written.

Between steps the state stays on the device, and what a step is given is
overwritten: no cache is copied.
"""

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from speccascade import sharding
from speccascade.decoding import checks, decoders, results
from speccascade.decoding import loop as loop_lib


def stream(
  loop: loop_lib.Loop,
  params: tuple[Any, Any],
  request: results.Request,
  iterations: int = 4,
) -> Iterator[results.Result]:
  """Decodes as `loop.decode` does, and tells what there is in between.

  Args:
    loop: Loop; another one compiles another program.
    params: (drafter parameters, verifier parameters).
    request: Request.
    iterations: of the loop between two results.

  Yields:
    The Result so far, after each step; the last is that of `loop.decode`.

  Raises:
    ValueError: an argument is out of range, nothing was compiled; or a model
      gave a logit that is not finite.
  """
  loop_lib.check(loop, request)
  state, done = sharding.on_mesh(_init, loop, params, request), False
  while not done:
    state, result, done = sharding.on_mesh(
      _step, loop, iterations, params, request, state
    )
    yield checks.finite(result, request.prompts)


@functools.partial(jax.jit, static_argnums=0)
def _init(loop, params, request):
  return _held(loop, loop_lib.init(loop, params, request))


@functools.partial(jax.jit, static_argnums=(0, 1), donate_argnums=4)
def _step(loop, iterations, params, request, state):
  u_BxMxU = loop_lib.uniforms(loop, request)

  def step(carry):
    turns, state = carry
    return turns + 1, loop_lib.iterate(loop, params, request, u_BxMxU, state)

  goes_on = lambda x: (x[0] < iterations) & ~jnp.all(x[1].done_B)  # noqa: E731
  _, state = lax.while_loop(goes_on, step, (0, state))
  state = _held(loop, state)
  return state, loop_lib.result(loop, state), jnp.all(state.done_B)


def _held(loop, state):
  return decoders.divided(decoders.of(loop), state, len(state.length_B))
