"""CANINE's encoder: equal to transformers', whatever padding a batch has; shorter on request."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import save_file
from tiny_families import GOLDEN, make_random

import textzoo
from textzoo.checkpoints.transformers_layout import read_transformers
from textzoo.errors import ConfigError
from textzoo.modules import CanineEncoder, Hidden, LayerMeanPooling, TextBatch

# Compiling is nearly all of the time; these programs run once.
quick_jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})

SIZES = dict(num_layers=1, num_heads=2, hidden_dim=12, max_length=40, num_types=2, local_window=6)


@functools.cache
def golden():
    with np.load(GOLDEN / "canine.npz") as data:
        return dict(data)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """What transformers would have saved."""
    folder = tmp_path_factory.mktemp("canine")
    tensors = {
        key.removeprefix("weights/"): np.ascontiguousarray(value.astype(np.float32))
        for key, value in golden().items()
        if key.startswith("weights/")
    }
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(str(golden()["config"]))
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 32}))
    return folder


@pytest.fixture(scope="module")
def bundle(directory):
    return read_transformers(directory)


@functools.cache
def compiled(model):
    graphdef, state = nnx.split(model)
    run = lambda state, *inputs: nnx.merge(graphdef, state)(*inputs)  # noqa: E731
    return functools.partial(quick_jit(run), state)


def batch_of(rows=slice(None), length=None):
    """Rows of the golden batch, cut or padded to a length; rubbish stands under the padding."""
    ids, mask, types = (golden()[key][rows] for key in ("ids", "mask", "type_ids"))
    length = mask[:, ::-1].any(axis=0)[::-1].nonzero()[0].max() + 1 if length is None else length
    mask = np.pad(mask, ((0, 0), (0, max(0, length - mask.shape[1]))))[:, :length]
    ids = np.pad(ids, ((0, 0), (0, max(0, length - ids.shape[1]))))[:, :length]
    types = np.pad(types, ((0, 0), (0, max(0, length - types.shape[1]))))[:, :length]
    return TextBatch(
        ids=jnp.asarray(np.where(mask, ids, 99)), mask=jnp.asarray(mask),
        type_ids=jnp.asarray(np.where(mask, types, 1), jnp.int32),
    )  # fmt: skip


def wanted(rows):
    mask = golden()["mask"]
    ends = np.cumsum(mask.sum(axis=1))
    return np.concatenate([golden()["states"][end - mask[r].sum() : end] for r, end in
                           enumerate(ends) if r in rows])  # fmt: skip


# Without any padding, also where the way back looks beyond the last molecule; and with more than
# the reference had.
@pytest.mark.parametrize(("rows", "length"), [((0,), 30), ((3,), 11), (range(6), 47)])
def test_states_equal_those_of_transformers_whatever_the_padding(bundle, rows, length):
    batch = batch_of(list(rows), length)
    states = np.asarray(compiled(bundle.model)(batch).hidden.states)
    assert states.shape[1] == length
    difference = np.abs(states[np.asarray(batch.mask)] - wanted(rows)).max()
    assert difference < 2e-5


def test_without_the_way_back_states_are_those_of_molecules(bundle):
    options = bundle.model.config.encoder.options
    short = nnx.eval_shape(
        lambda: CanineEncoder(**{**options, "upsample": False}, rngs=nnx.Rngs(0))
    )
    full = dict(nnx.to_flat_state(nnx.state(bundle.model.encoder)))
    names = [path for path, _ in nnx.to_flat_state(nnx.state(short))]
    graphdef, _ = nnx.split(short)
    short = nnx.merge(graphdef, nnx.from_flat_state([(path, full[path]) for path in names]))
    batch = batch_of(length=33)
    out = compiled(short)(bundle.model.embedding(batch))
    lengths = golden()["mask"].sum(axis=1)
    np.testing.assert_array_equal(out.mask.sum(axis=1), 1 + -(-lengths // 4))
    for row, count in enumerate(np.asarray(out.mask).sum(axis=1)):
        molecules = golden()["molecules"][row, :count]
        assert np.abs(np.asarray(out.states)[row, :count] - molecules).max() < 2e-5
    assert len(full) - len(names) == 2 + 2 + 12  # projection, its norm, one layer


def test_a_checkpoint_is_an_encoder_of_texts(directory):
    encoder = textzoo.load(str(directory))
    assert encoder.max_length == 32
    assert encoder.tokenizer(["hé"]).ids.tolist() == [0xE000, 104, 233, 0xE001]
    (tokens,) = encoder.encode_tokens(["hé \U0001f600"])
    assert tokens.tokens == ["h", "é", "\U0001f600"]
    assert np.isfinite(tokens.vectors).all()


def test_positions_and_buckets_of_a_checkpoint_must_be_as_many(directory, tmp_path):
    data = json.loads((directory / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(data | {"max_position_embeddings": 20}))
    with pytest.raises(ConfigError, match="as many positions as buckets"):
        read_transformers(tmp_path)


@functools.cache
def small(**options):
    return make_random(lambda: CanineEncoder(8, **{**SIZES, **options}, rngs=nnx.Rngs(0)))


def hidden_of(lengths=(11, 12, 4, 0), length=12):
    states = np.random.default_rng(0).normal(size=(len(lengths), length, 8))
    mask = np.arange(length) < np.asarray(lengths)[:, None]
    return Hidden(states=jnp.asarray(states, jnp.float32), mask=jnp.asarray(mask))


def test_slopes_are_finite_and_reach_every_parameter_but_no_padding():
    graphdef, state = nnx.split(nnx.view(small(), remat="dots"))
    hidden = hidden_of()

    @quick_jit
    def slopes(state, states):
        def loss(state, states):
            out = nnx.merge(graphdef, state)(hidden.replace(states=states))
            return jnp.where(out.mask[..., None], jnp.sin(3 * out.states), 0).sum()

        return jax.grad(loss, argnums=(0, 1))(state, states)

    of_state, of_states = slopes(state, hidden.states)
    for path, value in nnx.to_flat_state(of_state):
        assert np.isfinite(value[...]).all() and np.any(value[...]), path
    mask = np.asarray(hidden.mask)
    np.testing.assert_array_equal(np.asarray(of_states)[~mask], 0)
    assert np.abs(np.asarray(of_states)[mask]).sum(axis=1).min() > 0


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (dict(segment_ids=jnp.zeros((4, 12), int)), {}, "one text to a row"),
        (dict(positions=jnp.zeros((4, 12), int)), {}, "one text to a row"),
        ({}, dict(return_layers=LayerMeanPooling.needs_layers), "different lengths"),
        ({}, dict(return_attention_diagonal=True), "different lengths"),
    ],
)
def test_what_cannot_be_is_refused(change, options, message):
    with pytest.raises(ValueError, match=message):
        small()(hidden_of().replace(**change), **options)


def test_long_batches_and_bad_sizes_are_refused():
    with pytest.raises(ValueError, match="at most 40; truncate"):
        small()(hidden_of((41,), 41))
    with pytest.raises(ValueError, match="downsample=0"):
        CanineEncoder(8, **SIZES, downsample=0, rngs=nnx.Rngs(0))
