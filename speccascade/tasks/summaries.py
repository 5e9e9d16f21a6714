"""What the benchmarks of summaries share: the kinds of ROUGE."""

from speccascade.tasks import rouge

OTHER_METRICS = ('rouge1', 'rouge2_unstemmed', 'rougeL', 'rougeLsum')


def _rouge1(output, references):
  return rouge.f1('rouge1', output, references)


def _rouge2(output, references):
  return rouge.f1('rouge2', output, references)


def _rouge_l(output, references):
  return rouge.f1('rougeL', output, references)


def _rouge_lsum(output, references):
  return rouge.f1('rougeLsum', output, references)


OTHERS = (
  ('rouge1', _rouge1),
  ('rouge2', _rouge2),
  ('rougeL', _rouge_l),
  ('rougeLsum', _rouge_lsum),
)
