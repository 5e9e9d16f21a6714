"""What a training config asks for: a model, its data and its objective."""

import dataclasses
import hashlib

import jax
import numpy as np

from speccascade import pairs, tasks
from speccascade.decoding import checks as decoding_checks
from speccascade.models import checkpoints
from speccascade.tasks import tokenizer as tokenizer_lib
from speccascade.training import answers, checks, data, distillation, loop


def run(config, workdir):
  """Makes the data, trains and exports.

  Args:
    config: see configs/train_verifier.py or, with a field `distill`,
      configs/distill.py.
    workdir: folder of this run; a second run with it resumes.

  Returns:
    The parameters.

  Raises:
    ValueError: the config asks for what is not there or does not fit.
  """
  checks.check(config)  # Before the corpus is made.
  task = tasks.load(config.task, config.task_args)
  if 'distill' in config:
    model, tokenizer, teaching = _from_pair(config, task)
  else:
    model, tokenizer, teaching = *_from_scratch(config), {}
  train, valid = (
    data.tokenize(
      task,
      tokenizer,
      split,
      count,
      config.length,
      config.get('input_length'),  # Of an encoder-decoder.
    )
    for split, count in (
      ('train', config.num_train),
      ('validation', config.num_valid),
    )
  )
  if 'distill' in config and config.distill.samples != 'targets':
    answers.check(train, task.max_new_tokens)
  return loop.train(config, model, train, valid, workdir, **teaching)


def _from_scratch(config):
  """(model, tokenizer) of a config."""
  tokenizer = tokenizer_lib.load(config.tokenizer)
  if tokenizer.vocab_size() != config.model.vocab_size:
    raise ValueError(
      f'{config.tokenizer} has {tokenizer.vocab_size()} pieces: set '
      f'model.vocab_size, now {config.model.vocab_size}, to that'
    )
  model = checkpoints.make_model(
    checkpoints.make_config(config.get('family', 'gemma2'), **config.model)
  )
  return model, tokenizer


def _from_pair(config, task):
  """(the pair's drafter, its tokenizer, what `loop.train` takes besides)."""
  pair = pairs.load(config.distill.pair)
  decoding_checks.check_pair(pair.drafter, pair.verifier)
  for model in (pair.drafter, pair.verifier):
    apart = hasattr(model.config, 'input_length')
    if apart != ('input_length' in config):
      raise ValueError(
        f'pair {config.distill.pair}: {type(model).__name__} takes '
        f'{"inputs apart: set" if apart else "whole rows: leave out"} '
        'input_length'
      )
  drafter, verifier = (
    checkpoints.make_model(
      dataclasses.replace(model.config, dtype=config.dtype)
    )
    for model in (pair.drafter, pair.verifier)
  )
  objective = distillation.objective(
    verifier, config.distill.loss, config.distill.samples, task.max_new_tokens
  )
  teaching = {
    'objective': objective,
    'frozen': jax.tree.map(
      lambda x: x.astype(config.dtype), pair.verifier_params
    ),
    'start': pair.drafter_params,
    'origin': {
      'drafter_hash': _hash(pair.drafter_params),
      'verifier_hash': _hash(pair.verifier_params),
    },
  }
  return drafter, pair.tokenizer, teaching


def _hash(params):
  """SHA-256 of parameters in float32, in the order of their names."""
  digest = hashlib.sha256()
  for x in jax.tree.leaves(params):
    digest.update(np.ascontiguousarray(x, np.float32).data)
  return digest.hexdigest()
