"""What sweeps of one config have alike, whatever they run on."""

import json

# What depends on the clock; checksums; what differs by a rounding of sums; and
# whether the clone has changed meanwhile.
_OTHER = ('seconds', 'latency', 'cost', 'crc32', 'divergence', 'git_revision')


def results(workdir):
  """Returns (records, outputs by file, sums of divergences), sorted."""
  records = _read(workdir / 'records.jsonl')
  sums = [r['counts'].pop('divergence') for r in records]
  outputs = {
    path.name: sorted(map(_told, _read(path)))
    for path in (workdir / 'outputs').iterdir()
  }
  return sorted(map(_told, records)), outputs, sums


def _read(path):
  return [json.loads(line) for line in path.read_text().splitlines()]


def _told(values):
  kept = {k: v for k, v in values.items() if not any(x in k for x in _OTHER)}
  return json.dumps(kept)
