"""Every registered model: its declared facts at full size, its behavior at a tiny one.

Presets of a family that shrink to the same tiny model share its compilations.
"""

import collections
import functools
import importlib.resources
import inspect
import json
import math
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import textzoo
from textzoo.checkpoints import weights
from textzoo.checkpoints.bundle import Bundle
from textzoo.checkpoints.directory import read_directory, write_directory
from textzoo.config import ModelConfig, Part
from textzoo.modules import TextBatch
from textzoo.modules.examples import example_batch
from textzoo.registry import _models, get_config, get_spec, list_models

NAMES = list_models()
SIZES = {
    "vocab_size": 64, "width": 16, "factor_dim": 8, "num_heads": 2, "hidden_dim": 32,
    "embed_dim": 8, "max_length": 24, "local_window": 4, "window": 8, "stride": 4,
    "downsample": 3, "unit_dim": 8, "num_queries": 2, "unit_vocab_size": 64,
    "table_dim": 8,
    "num_codes": 8, "rank": 4, "sizes": (3, 2),
}  # fmt: skip


def shrink(config: ModelConfig) -> ModelConfig:
    """The same parts with the same switches, at sizes that compile in a moment."""

    def options(part):
        small = {name: SIZES[name] for name in SIZES if part.options.get(name) is not None}
        for name, value in part.options.items():
            if isinstance(value, Part):
                inner = options(value)
                if "embed_dim" in inner:  # What it reads is what another part inside returns.
                    inner["embed_dim"] = SIZES["width"]
                small[name] = value.replace(**inner)
        if part.type == "CharacterCNNEmbedding":
            small["filters"] = ((1, 4), (3, 4))
        if part.type == "ProductQuantizedEmbedding":
            small["num_parts"] = 4
        if "kept_ids" in part.options:
            small["kept_ids"] = (3, 5, 7, 9, 11)
        if "num_layers" in part.options:
            # The second layer is the first local one, or has the first one's weights.
            small["num_layers"] = 2
            if part.options.get("num_groups") not in (None, 1):
                small["num_groups"] = small["num_layers"]
        return small

    config = config.with_options(
        embedding=options(config.embedding), encoder=options(config.encoder)
    )
    encoder = config.encoder.options
    config = config.with_options(
        tokenizer=None, embedding={"width": encoder.get("embed_dim") or encoder.get("width", 16)}
    )
    width = encoder.get("width", 16)
    heads = []
    for head in config.heads:
        if "in_features" in head.options:
            head, width = head.replace(in_features=width, out_features=12), 12
        heads.append(head)
    return config.with_options(heads=heads)


def tiny_models() -> dict[str, ModelConfig]:
    groups = collections.defaultdict(list)
    for name in NAMES:
        groups[json.dumps(shrink(get_config(name)).to_dict(), sort_keys=True)].append(name)
    return {names[0]: shrink(get_config(names[0])) for names in groups.values()}


TINY = tiny_models()
tiny = pytest.mark.parametrize("name", TINY)
every = pytest.mark.parametrize("name", NAMES)


@functools.cache
def model_of(name: str):
    """A model with random values everywhere, also where fresh ones would be zero or one."""
    model, rng = weights.abstract_model(TINY[name]), np.random.default_rng(0)
    arrays = {}
    for path, variable in weights._variables(model).items():
        if jnp.issubdtype(variable.dtype, jnp.integer):  # Codes, of which there are eight.
            arrays[path] = rng.integers(0, 8, variable.shape)
            continue
        values = rng.normal(0, 0.1, variable.shape).astype(np.float32)
        arrays[path] = np.float32(path.endswith("scale")) + values
    return weights.fill(model, arrays, source=name)


def texts_for(name: str, *options: int, **kwargs: int) -> TextBatch:
    """Texts for a model, with units and side ids for one that reads them."""
    count = example_batch(model_of(name).embedding).units
    batch = texts(*options, **kwargs)
    if TINY[name].encoder.type == "SideVectorsEncoder":
        batch = batch.replace(side_ids=batch.ids[..., None] % jnp.array(SIZES["sizes"]))
    return batch if count is None else with_units(batch, count.shape[-1])


# Compiling is nearly all of the time; these programs run once or twice.
quick_jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


@functools.partial(quick_jit, static_argnums=0)
def run(graphdef, state, batch):
    return nnx.merge(graphdef, state)(batch).vectors


def vectors(model, batch) -> np.ndarray:
    return np.asarray(run(*nnx.split(model), batch))


def texts(rows: int = 4, length: int = 16, seed: int = 0) -> TextBatch:
    """Texts of 16, 9, 2 and 0 tokens; what stands under the padding is not zero."""
    rng = np.random.default_rng(seed)
    lengths = np.array([16, 9, 2, 0])[:rows]
    ids = rng.integers(1, 32, (4, 16))[:rows]
    padded = np.full((rows, length), 40)
    padded[:, :16] = np.where(np.arange(16) < lengths[:, None], ids, 40)
    mask = np.arange(length) < lengths[:, None]
    return TextBatch(ids=jnp.asarray(padded, jnp.int32), mask=jnp.asarray(mask))


def with_units(batch: TextBatch, count: int) -> TextBatch:
    """The same texts, each token with up to ``count`` units that follow from its id, or none."""
    ids = np.asarray(batch.ids)[..., None]
    units = (7 * ids + 5 * np.arange(count)) % 32
    counts = np.where(ids % 5 == 0, 0, count - ids % 2)
    mask = np.asarray(batch.mask)[..., None] & (np.arange(count) < counts)
    return batch.replace(units=jnp.asarray(units, jnp.int32), unit_mask=jnp.asarray(mask))


@every
def test_parameter_count_is_as_declared(name):
    parameters = nnx.state(weights.abstract_model(get_config(name)), nnx.Param)
    total = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(parameters))
    assert total == get_spec(name).parameters


@every
def test_spec_is_complete_and_agrees_with_the_config(name):
    spec, config = get_spec(name), get_config(name)
    assert spec.name == name and re.fullmatch(r"[a-z0-9_]+", name)
    assert spec.results or spec.status != "trained-here"
    assert config.tokenizer is not None
    assert config.tokenizer.options["max_length"] == spec.max_length
    assert spec.max_length <= config.encoder.options.get("max_length", spec.max_length)
    assert config.encoder.options.get("width", config.embedding.options["width"]) == spec.width
    widths = [
        head.options["out_features"] for head in config.heads if "out_features" in head.options
    ]
    states = config.pooling.options.get("num_positions", 1) if config.pooling else 1
    assert spec.dimension == [spec.width * states, *widths][-1]


@every
def test_has_a_docstring_and_takes_overrides(name):
    make = _models[name][1]
    assert inspect.getdoc(make)
    assert make(pooling=None).pooling is None
    option = next(n for n in ("vocab_size", "width") if n in get_config(name).embedding.options)
    assert make(embedding={option: 7}).embedding.options[option] == 7


@every
def test_config_survives_json(name):
    config = get_config(name)
    assert ModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@tiny
def test_vectors_do_not_depend_on_batch_or_padding(name):
    model, batch = model_of(name), texts_for(name)
    reference = vectors(model, batch)
    assert np.isfinite(reference).all()
    assert np.abs(reference[:3]).sum(axis=1).min() > 0
    np.testing.assert_array_equal(reference[3], 0)
    padded = vectors(model, texts_for(name, length=24))
    np.testing.assert_allclose(padded, reference, rtol=0, atol=1e-5)
    order = np.array([2, 0, 3, 1])
    shuffled = jax.tree.map(lambda rows: rows[order], batch)
    np.testing.assert_allclose(vectors(model, shuffled), reference[order], rtol=0, atol=1e-5)


@tiny
def test_gradient_is_finite_and_reaches_every_parameter_but_no_padding(name):
    graphdef, state, rest = nnx.split(model_of(name), nnx.Param, ...)
    batch = texts_for(name)

    @quick_jit
    def gradient(state):
        def loss(state):
            out = nnx.merge(graphdef, state, rest)(batch).vectors
            return (out * jnp.cos(jnp.arange(out.size).reshape(out.shape))).sum()

        return jax.grad(loss)(state)

    gradients = nnx.merge(graphdef, gradient(state), rest)
    for path, variable in weights._variables(gradients).items():
        if not isinstance(variable, nnx.Param):
            continue
        value = np.asarray(variable[...])
        assert np.isfinite(value).all(), path
        assert np.any(value), f"{path} gets no gradient"
    if TINY[name].embedding.type == "SubwordEmbedding":  # Others have no row for an id alone.
        np.testing.assert_array_equal(gradients.embedding.table[40], 0)


@tiny
def test_saved_model_gives_the_same_vectors(name, tmp_path):
    model = model_of(name)
    write_directory(tmp_path / name, Bundle(model=model, tokenizer=None))
    again = read_directory(tmp_path / name).model
    assert again.config == model.config
    batch = texts_for(name)
    np.testing.assert_array_equal(vectors(again, batch), vectors(model, batch))


def test_every_bundled_directory_is_a_registered_model():
    package = Path(str(importlib.resources.files("textzoo.checkpoints.pretrained")))
    folders = {path.parent.name for path in package.glob("*/config.json")}
    specs = [get_spec(name) for name in NAMES]
    assert folders == {s.weights.bundled for s in specs if s.weights and s.weights.bundled}


@pytest.mark.parametrize(
    "name", [name for name in NAMES if (w := get_spec(name).weights) and w.bundled] or [None]
)
def test_bundled_model_is_what_its_spec_says(name):
    if name is None:
        pytest.skip("no model is bundled")
    spec, encoder = get_spec(name), textzoo.load(name)
    assert encoder.name == name
    assert encoder.model.config == get_config(name)
    assert (encoder.dimension, encoder.max_length) == (spec.dimension, spec.max_length)
    settings = encoder.settings
    assert (settings.similarity, dict(settings.prompts)) == (spec.similarity, dict(spec.prompts))
    assert settings.default_prompt == spec.default_prompt
