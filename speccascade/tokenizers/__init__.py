"""Tokenizers: loaded from either of two formats, and put to use."""

from speccascade.tokenizers.automaton import automaton
from speccascade.tokenizers.base import Tokenizer, check_same
from speccascade.tokenizers.incremental import spell
from speccascade.tokenizers.loading import ended_as_in, is_in, load
from speccascade.tokenizers.prompts import encode_prompts, fit
from speccascade.tokenizers.stops import cut, until
from speccascade.tokenizers.training import BOS, EOS, PAD, UNK, train

__all__ = [
  'BOS',
  'EOS',
  'PAD',
  'UNK',
  'Tokenizer',
  'automaton',
  'check_same',
  'cut',
  'encode_prompts',
  'ended_as_in',
  'fit',
  'is_in',
  'load',
  'spell',
  'train',
  'until',
]
