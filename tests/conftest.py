"""Eight host devices, and programs that compile fast, for every test."""

import gc
import importlib.metadata
import os
import pathlib
import tempfile

_FLAGS = ['--xla_force_host_platform_device_count=8']
# Compiling takes most of the time of the tests, and loops without the emitters
# of fusions compile in about half of it; later versions know no others. Code in
# many parts is for many cores.
if importlib.metadata.version('jaxlib').startswith('0.10.'):
  _FLAGS.append('--xla_cpu_use_fusion_emitters=false')
  _FLAGS.append('--xla_cpu_parallel_codegen_split_count=1')
if 'PYTEST_XDIST_WORKER' not in os.environ:  # Workers share it.
  # Sweeps keep programs there: those of the user are neither read nor added to.
  _CACHE = tempfile.TemporaryDirectory(prefix='speccascade-tests-')
  os.environ['XDG_CACHE_HOME'] = _CACHE.name
os.environ['XLA_FLAGS'] = ' '.join((os.environ.get('XLA_FLAGS', ''), *_FLAGS))
os.environ['JAX_DISABLE_MOST_OPTIMIZATIONS'] = '1'  # Of processes below, too.

import jax  # noqa: E402
import pytest  # noqa: E402

_MAPS = 40_000  # Of 65,530, as Linux is set up; each program takes some.
_BYTES = 3 << 30  # Of a process: there are two.
_FAST = 'jax_disable_most_optimizations'
# Passes that take a fifth of the time and save none in a program this small.
_PASSES = 'while-loop-invariant-code-motion,simplify-while-loops'

# Where each operation was traced is told to nobody here.
jax.config.update('jax_traceback_in_locations_limit', 0)
# Tracing makes millions of objects, of which few are garbage.
gc.set_threshold(200_000, 20, 100)


if importlib.metadata.version('jaxlib').startswith('0.10.'):
  from jax._src import compiler

  def _options(*args, make=compiler.get_compile_options, **more):
    made = make(*args, **more)
    backend = more.get('backend')
    if jax.config.read(_FAST) and getattr(backend, 'platform', None) == 'cpu':
      debug = made.executable_build_options.debug_options
      debug.xla_disable_hlo_passes = _PASSES
    return made

  compiler.get_compile_options = _options


@pytest.fixture(scope='module')
def float64():
  """Double precision, for one module."""
  with jax.enable_x64(True):
    yield


@pytest.fixture(scope='module')
def optimised():
  """Programs as they are compiled for users, from here on in a module."""
  jax.config.update(_FAST, False)
  yield
  jax.config.update(_FAST, True)


@pytest.fixture(scope='module')
def few_widths():
  """Of all widths of blocks, the narrowest and the widest.

  Each takes as long to compile as the first.
  """
  from speccascade.decoding import blocks, serving
  from speccascade.decoding import loop as loop_lib

  def few(*args, widths=blocks.widths):
    found = widths(*args)
    return tuple(sorted({found[0], found[-1]}))

  programs = loop_lib._decode, serving.begin, serving.go_on
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(blocks, 'widths', few)
    for program in programs:
      program.clear_cache()
    yield
  for program in programs:
    program.clear_cache()


@pytest.fixture(scope='module')
def short_chunks():
  """Prompts in slots are read two tokens at a time: a page takes some turns.

  From here on in a module.
  """
  from speccascade.decoding import serving
  from speccascade.models import cache

  programs = serving.begin, serving.go_on
  with pytest.MonkeyPatch.context() as patch:
    for name in ('_CHUNK', '_SHORT'):
      patch.setattr(cache, name, 2)
    for program in programs:
      program.clear_cache()
    yield
  for program in programs:
    program.clear_cache()


@pytest.fixture(scope='module', autouse=True)
def little_memory():
  """Forgets programs before they take too much memory, or too many maps."""
  yield
  maps = pathlib.Path('/proc/self/maps')
  if maps.exists() and (
    maps.read_bytes().count(b'\n') > _MAPS or _resident() > _BYTES
  ):
    jax.clear_caches()
    gc.collect()


def _resident():
  pages = pathlib.Path('/proc/self/statm').read_text().split()[1]
  return int(pages) * os.sysconf('SC_PAGE_SIZE')
