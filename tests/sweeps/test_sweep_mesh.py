"""A sweep over a mesh of devices has the records of one device."""

import jax
import pytest

from speccascade.pairs import config as pairs_config
from speccascade.sweeps import run
from tests.sweeps import compared, tiny_pair

_METHODS = {'strict': (), 'token_v3': (0.3, 0.6), 'token_cascade': (0.5,)}


@pytest.fixture(scope='module')
def pair(tmp_path_factory):
  return tiny_pair.save(tmp_path_factory.mktemp('mesh') / 'pair')


def _records(pair, folder, mesh):
  sweep = tiny_pair.sweep(
    pair,
    methods=_METHODS,
    gammas=(3,),
    temperatures=(1.0,),
    num_examples=8,
    latency_examples=1,
    trials=1,
    mesh=mesh,
  )
  run.run(sweep, folder)
  return compared.results(folder)


@pytest.mark.large  # `test_hosts` has the same of two processes.
@pytest.mark.skipif(jax.device_count() < 8, reason='needs 8 devices')
def test_the_records_of_a_mesh_are_those_of_one_device(pair, tmp_path):
  want, outputs, sums = _records(pair, tmp_path / 'one', None)
  got, own, own_sums = _records(pair, tmp_path / 'mesh', (2, 4))
  assert own == outputs
  assert got == want
  # Float32 sums of a few tokens' D_TV, in another order.
  assert own_sums == pytest.approx(sums, rel=1e-5)


def test_a_mesh_of_more_devices_than_there_are():
  models = pairs_config.Models(pair='word_problems', mesh=(64, 64))
  with pytest.raises(ValueError, match=r'mesh=\(64, 64\) needs 4096 devices'):
    models.load_pair()


@pytest.mark.skipif(jax.device_count() < 8, reason='needs 8 devices')
def test_parameters_lie_on_the_mesh(pair):
  loaded = pairs_config.Models(pair=str(pair), mesh=(2, 4)).load_pair()
  for params in loaded.params:
    placed = {len(x.sharding.device_set) for x in jax.tree.leaves(params)}
    assert placed == {8}
  kernel = loaded.verifier_params['layers_0']['ffw']['up']
  assert not kernel.is_fully_replicated
