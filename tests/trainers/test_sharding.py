"""The table from logical to mesh axes, and batches that do not fit the mesh."""

import jax
import numpy as np
import pytest
from jax.sharding import AbstractMesh

from textzoo.errors import ConfigError
from textzoo.modules import TextBatch
from textzoo.trainers.batch import TrainBatch
from textzoo.trainers.mesh import MeshConfig, make_mesh
from textzoo.trainers.sharding import check_batch_size, parameter_sharding, place_batch


def mesh(**sizes):
    shape = {"data": 1, "fsdp": 1, "model": 1, **sizes}
    return AbstractMesh(tuple(shape.values()), tuple(shape))


def spec(mesh, names, shape):
    return tuple(parameter_sharding(mesh, names, shape).spec)


def test_parameters_are_split_by_the_names_of_their_axes():
    both = mesh(fsdp=2, model=4)
    assert spec(both, ("vocab", "embed"), (8, 6)) == ("model", "fsdp")
    assert spec(both, ("embed", "mlp"), (6, 8)) == ("fsdp", "model")
    assert spec(both, ("embed", None, "heads", None), (6, 3, 4, 5)) == ("fsdp", None, "model")


def test_what_does_not_divide_or_has_no_name_stays_whole():
    both = mesh(fsdp=2, model=4)
    assert spec(both, ("vocab", "embed"), (7, 6)) == (None, "fsdp")
    assert spec(both, ("embed", "embed"), (6, 6)) == ("fsdp",)
    assert spec(both, None, (8, 8)) == ()
    assert spec(mesh(data=8), ("vocab", "embed"), (8, 8)) == ()


def test_a_batch_that_does_not_split_is_refused():
    with pytest.raises(ConfigError, match=r"batches of 6 rows cannot be split over 4.*e\.g\. 8"):
        check_batch_size(6, mesh(data=2, fsdp=2))
    check_batch_size(8, mesh(data=2, fsdp=2, model=3))


def test_rows_that_do_not_split_are_refused_before_they_are_placed():
    ids = np.zeros((6, 2), np.int32)
    batch = TrainBatch(texts=(TextBatch(ids=ids, mask=ids == 0),))
    with pytest.raises(ConfigError, match="batches of 6 rows cannot be split over 4"):
        place_batch(batch, mesh(data=4))


def test_a_batch_for_one_device_is_left_to_the_step():
    ids = np.zeros((3, 2), np.int32)
    batch = TrainBatch(texts=(TextBatch(ids=ids, mask=ids == 0),))
    one = make_mesh(devices=jax.devices()[:1])
    assert place_batch(batch, one).texts[0].ids is ids


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data=2,fsdb=2", "did you mean 'fsdp'"),
        ("data=two", "write data=2"),
        ("data=0", "use 1 or more, or -1"),
        ("data=-1,fsdp=-1", "only one axis can take the rest"),
    ],
)
def test_a_mesh_that_makes_no_sense_is_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        MeshConfig.parse(text)


def test_a_mesh_that_does_not_fit_the_devices_is_refused():
    with pytest.raises(ConfigError, match="does not fit 8 devices"):
        MeshConfig(data=3, fsdp=1, model=1).shape(8)
    assert MeshConfig(fsdp=2).shape(8) == (4, 2, 1)
