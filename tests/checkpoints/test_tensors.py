"""Finding and reading the tensors of a directory."""

import json

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from textzoo.checkpoints.tensors import read_tensors
from textzoo.errors import WeightsError


def write_shards(directory, weight_map):
    (directory / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def test_half_precision_keeps_its_values(tmp_path):
    values = np.array([1.5, -3.0])
    save_file(
        {"a": values.astype(ml_dtypes.bfloat16), "b": values.astype(np.float16)},
        tmp_path / "model.safetensors",
    )
    tensors = read_tensors(tmp_path)
    for name in "ab":
        np.testing.assert_array_equal(tensors[name].astype(np.float32), values)


def test_shards_are_joined(tmp_path):
    save_file({"a": np.ones(2)}, tmp_path / "one.safetensors")
    save_file({"b": np.zeros(3)}, tmp_path / "two.safetensors")
    write_shards(tmp_path, {"a": "one.safetensors", "b": "two.safetensors"})
    assert {name: array.shape for name, array in read_tensors(tmp_path).items()} == {
        "a": (2,),
        "b": (3,),
    }


def test_a_missing_shard_is_named(tmp_path):
    write_shards(tmp_path, {"a": "one.safetensors"})
    with pytest.raises(WeightsError, match="one.safetensors does not exist"):
        read_tensors(tmp_path)


def test_a_tensor_missing_from_its_shard_is_named(tmp_path):
    save_file({"a": np.ones(2)}, tmp_path / "one.safetensors")
    write_shards(tmp_path, {"a": "one.safetensors", "b": "one.safetensors"})
    with pytest.raises(WeightsError, match="such as b"):
        read_tensors(tmp_path)


def test_a_shard_outside_the_directory_is_refused(tmp_path):
    write_shards(tmp_path, {"a": "../one.safetensors"})
    with pytest.raises(WeightsError, match="not a file beside it"):
        read_tensors(tmp_path)


@pytest.mark.parametrize("text", ["[", "{}", '{"weight_map": 3}'])
def test_a_damaged_index_is_an_error(text, tmp_path):
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(WeightsError, match="not an index"):
        read_tensors(tmp_path)


def test_pickled_weights_are_refused_with_a_way_out(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(WeightsError, match=r"only pytorch_model.bin.*save_pretrained"):
        read_tensors(tmp_path)


def test_no_weights_at_all_is_an_error(tmp_path):
    with pytest.raises(WeightsError, match="neither model.safetensors nor"):
        read_tensors(tmp_path)


def test_gamma_and_beta_are_weight_and_bias(tmp_path):
    save_file(
        {"a.LayerNorm.gamma": np.ones(1), "a.LayerNorm.beta": np.zeros(1), "beta.c": np.ones(1)},
        tmp_path / "model.safetensors",
    )
    assert set(read_tensors(tmp_path)) == {"a.LayerNorm.weight", "a.LayerNorm.bias", "beta.c"}
