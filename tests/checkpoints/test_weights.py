import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from flax import nnx

from textzoo.checkpoints import weights
from textzoo.config import ModelConfig, Part
from textzoo.errors import ConfigError, WeightsError
from textzoo.parts import build

CONFIG = ModelConfig(
    embedding=Part("SubwordEmbedding", vocab_size=9, width=8),
    encoder=Part(
        "TransformerEncoder", width=8, num_layers=1, num_heads=2, hidden_dim=16, max_length=8
    ),
    pooling=Part("MeanPooling"),
    heads=(Part("Dense", in_features=8, out_features=3),),
)


@pytest.fixture(scope="module")
def model():
    return build(CONFIG, rngs=nnx.Rngs(1))


def test_abstract_model_has_every_shape_and_no_array(model):
    abstract = weights.abstract_model(CONFIG)
    assert weights.parameter_shapes(abstract) == weights.parameter_shapes(model)
    leaves = jax.tree.leaves(nnx.state(abstract))
    assert leaves and all(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in leaves)


def test_filled_model_has_the_parameters_it_was_given(model):
    arrays = weights.get_parameters(model)
    again = weights.fill(weights.abstract_model(CONFIG), arrays, source="test")
    for path, array in weights.get_parameters(again).items():
        np.testing.assert_array_equal(array, arrays[path])
    assert again.config == CONFIG


def test_every_disagreement_is_listed_at_once(model):
    arrays = weights.get_parameters(model)
    arrays["heads.0.extra"] = arrays.pop("heads.0.linear.bias")
    arrays["embedding.table"] = arrays["embedding.table"][:5]
    with pytest.raises(WeightsError) as caught:
        weights.fill(weights.abstract_model(CONFIG), arrays, source="here")
    message = str(caught.value)
    assert "here does not fit" in message
    assert "missing: heads.0.linear.bias (3,)" in message
    assert "not in the model: heads.0.extra (3,)" in message
    assert "embedding.table: file has (5, 8), model needs (9, 8)" in message


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "int32", "bool"])
def test_safetensors_round_trip_keeps_values_dtypes_and_shapes(dtype, tmp_path):
    path = tmp_path / "model.safetensors"
    arrays = {
        "matrix": np.arange(6).reshape(2, 3).astype(jnp.dtype(dtype)),
        "scalar": np.array(1, jnp.dtype(dtype)),
        "empty": np.zeros((0, 3), jnp.dtype(dtype)),
        "transposed": np.arange(6).reshape(2, 3).T.astype(jnp.dtype(dtype)),
    }
    weights.write_safetensors(path, arrays)
    again = weights.read_safetensors(path)
    assert again.keys() == arrays.keys()
    for name, array in arrays.items():
        assert again[name].dtype == array.dtype and again[name].shape == array.shape
        np.testing.assert_array_equal(again[name], array)


def test_reading_agrees_with_the_library(tmp_path):
    path = tmp_path / "model.safetensors"
    arrays = {"b": np.random.default_rng(0).normal(size=(3, 5)), "a": np.arange(7, dtype=np.int8)}
    safetensors.numpy.save_file(arrays, path, metadata={"format": "pt"})
    again = weights.read_safetensors(path)
    for name, array in safetensors.numpy.load_file(path).items():
        np.testing.assert_array_equal(again[name], array)


def test_reading_copies_nothing(tmp_path):
    path = tmp_path / "model.safetensors"
    weights.write_safetensors(path, {"a": np.ones(4, np.float32)})
    array = weights.read_safetensors(path)["a"]
    assert not array.flags.owndata and not array.flags.writeable


@pytest.mark.parametrize("stored", ["bfloat16", "float16"])
def test_half_precision_files_fill_a_float32_model(stored, model, tmp_path):
    arrays = weights.get_parameters(model)
    path = tmp_path / "model.safetensors"
    weights.write_safetensors(path, {k: v.astype(jnp.dtype(stored)) for k, v in arrays.items()})
    filled = weights.fill(
        weights.abstract_model(CONFIG), weights.read_safetensors(path), source="test"
    )
    table = filled.embedding.table[...]
    assert table.dtype == jnp.float32
    expected = arrays["embedding.table"].astype(jnp.dtype(stored)).astype(np.float32)
    np.testing.assert_array_equal(table, expected)


def test_half_precision_stays_where_the_config_stores_it(tmp_path):
    config = CONFIG.with_options(embedding={"param_dtype": "bfloat16"})
    arrays = weights.get_parameters(build(config, rngs=nnx.Rngs(0)))
    path = tmp_path / "model.safetensors"
    weights.write_safetensors(path, arrays)
    filled = weights.fill(
        weights.abstract_model(config), weights.read_safetensors(path), source="test"
    )
    assert filled.embedding.table[...].dtype == jnp.bfloat16
    np.testing.assert_array_equal(np.asarray(filled.embedding.table), arrays["embedding.table"])


def test_missing_file_says_that_pickles_are_not_read(tmp_path):
    with pytest.raises(WeightsError, match="does not exist.*pytorch_model.bin are not read"):
        weights.read_safetensors(tmp_path / "model.safetensors")


@pytest.mark.parametrize("keep", [0, 4, 60, -1])
def test_truncated_file_is_refused(keep, tmp_path):
    path = tmp_path / "model.safetensors"
    weights.write_safetensors(path, {"a": np.ones(64, np.float32)})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(WeightsError, match="is not a whole safetensors file"):
        weights.read_safetensors(path)


def test_damaged_header_is_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    weights.write_safetensors(path, {"a": np.ones(64, np.float32)})
    data = bytearray(path.read_bytes())
    data[9:12] = b"###"
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="is not a whole safetensors file"):
        weights.read_safetensors(path)


def test_dtype_without_a_numpy_name_is_refused_by_name(tmp_path):
    path = tmp_path / "model.safetensors"
    header = json.dumps({"a": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0")
    with pytest.raises(WeightsError, match="a has dtype F8_E4M3, which is not read"):
        weights.read_safetensors(path)


def test_replacing_a_file_leaves_what_was_read_from_it(tmp_path):
    path = tmp_path / "model.safetensors"
    weights.write_safetensors(path, {"a": np.ones(1024, np.float32)})
    before = weights.read_safetensors(path)["a"]
    weights.write_safetensors(path, {"a": np.zeros(1024, np.float32)})
    np.testing.assert_array_equal(before, 1)
    np.testing.assert_array_equal(weights.read_safetensors(path)["a"], 0)
    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]


def test_sha256_of_another_file_is_refused_by_name(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"abc")
    # The digest of "abc" in FIPS 180-2, appendix B.1.
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    weights.check_sha256(path, digest, name="my_model")
    path.write_bytes(b"abd")
    with pytest.raises(WeightsError, match="my_model: .* is not the file that was released"):
        weights.check_sha256(path, digest, name="my_model")
    with pytest.raises(WeightsError, match="my_model: .* does not exist"):
        weights.check_sha256(tmp_path / "none", digest, name="my_model")


def test_random_state_in_a_model_is_refused():
    class Noisy(nnx.Module):
        def __init__(self):
            self.dropout = nnx.Dropout(0.1, rngs=nnx.Rngs(0))

    with pytest.raises(ConfigError, match="carries random state at dropout"):
        weights.get_parameters(Noisy())
