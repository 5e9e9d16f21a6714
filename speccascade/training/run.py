"""Runs a training config: makes its model, its data and its objective."""

import dataclasses
from typing import Any

import jax
from etils import epath

from speccascade import pairs, sharding, tasks
from speccascade import tokenizers as tokenizer_lib
from speccascade.decoding import checks as decoding_checks
from speccascade.models import padded, registry
from speccascade.training import answers, config, data, distillation, loop


def run(settings: config.Train, workdir: epath.PathLike) -> Any:
  """Makes the data, trains and exports.

  Args:
    settings: of the run.
    workdir: folder of this run; a second run with it resumes.

  Returns:
    The parameters.

  Raises:
    ValueError: a file is missing, an example or answer does not fit its row,
      the mesh does not fit the devices, or `workdir` was created with a
      different config or data.
  """
  mesh = sharding.of_config(settings.mesh or (1, 1))
  task = tasks.load(settings.task, settings.task_args)
  if settings.distill is None:
    model, tokenizer, teaching = *_from_scratch(settings), {'origin': {}}
  else:
    model, tokenizer, teaching = _from_pair(settings, task, mesh)
  teaching['origin']['tokenizer'] = tokenizer.file_digest
  train, valid = (
    data.tokenize(
      task, tokenizer, split, count, settings.length, settings.input_length
    )
    for split, count in (
      ('train', settings.num_train),
      ('validation', settings.num_valid),
    )
  )
  if settings.distill is not None and settings.distill.samples != 'targets':
    answers.check(train, task.max_new_tokens)
  return loop.train(settings, model, train, valid, workdir, **teaching)


def _from_scratch(settings):
  """Returns (model, tokenizer)."""
  architecture = settings.architecture()
  tokenizer = tokenizer_lib.load(settings.tokenizer)
  if tokenizer.vocab_size != architecture.vocab_size:
    raise ValueError(
      f'model.vocab_size={architecture.vocab_size} must be '
      f'{tokenizer.vocab_size}, the pieces of {settings.tokenizer}'
    )
  start = getattr(architecture, 'start_token', tokenizer.pad_id)
  if start != tokenizer.pad_id:
    raise ValueError(
      f'{settings.tokenizer} pads with {tokenizer.pad_id}, but the decoder '
      f'starts from token {start}; set model.start_token, or train another '
      'tokenizer'
    )
  return registry.make_model(architecture), tokenizer


def _from_pair(settings, task, mesh):
  """Returns (drafter, tokenizer, the other arguments of `loop.train`)."""
  pair = pairs.load(
    settings.distill.pair, mesh=mesh, stacked=settings.is_stacked(), fully=True
  )
  decoding_checks.check_pair(pair.drafter, pair.verifier)
  for model in (pair.drafter, pair.verifier):
    try:
      config.check_lengths(model.config, settings)
    except ValueError as error:
      raise ValueError(f'distill.pair={pair.name!r}: {error}') from None
  drafter, verifier = (
    padded.like(model, dataclasses.replace(model.config, dtype=settings.dtype))
    for model in (pair.drafter, pair.verifier)
  )
  teaching = {
    'objective': distillation.objective(
      verifier,
      settings.distill.loss,
      settings.distill.samples,
      task.max_new_tokens,
      pair.eos_ids,
    ),
    'frozen': jax.tree.map(
      lambda x: x.astype(settings.dtype), pair.verifier_params
    ),
    'start': pair.drafter_params,
    'origin': {
      'drafter': pair.digests['drafter'],
      'verifier': pair.digests['verifier'],
    },
  }
  return drafter, pair.tokenizer, teaching
