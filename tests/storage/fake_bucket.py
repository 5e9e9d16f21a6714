"""A gs:// in memory, whose objects are written whole or not at all."""

from etils.epath import backend
from fsspec.implementations import memory


class _Bucket(memory.MemoryFileSystem):
  protocol = 'gs'
  cachable = False

  def __init__(self):
    super().__init__()
    self.store, self.pseudo_dirs = {}, ['']
    self.written = []  # Paths, in order.
    self.failing = None  # (method, calls until it fails).

  @classmethod
  def _strip_protocol(cls, path):
    return super()._strip_protocol(path.removeprefix('gs://'))

  def open(self, path, mode='rb', **kwargs):
    if 'w' in mode:
      self._step('write')
      self.written.append(path)
    return super().open(path, mode, **kwargs)

  def rm(self, path, **kwargs):
    self._step('delete')
    super().rm(path, **kwargs)

  def _step(self, what):
    if self.failing is None or self.failing[0] != what:
      return
    self.failing = what, self.failing[1] - 1
    if self.failing[1] < 0:
      raise KeyboardInterrupt  # As a kill: what came before stays.


def install(monkeypatch):
  """Makes gs:// work, without a network, and returns the bucket."""
  bucket = _Bucket()
  monkeypatch.setattr(
    backend.fsspec_backend, '_get_filesystem', lambda name: bucket
  )
  return bucket
