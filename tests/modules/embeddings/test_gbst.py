"""Soft subwords against two readings of the reference, and what padding may not do to them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from tiny_families import GOLDEN, make_random

import textzoo
from textzoo.config import ModelConfig, Part
from textzoo.errors import ConfigError
from textzoo.modules import GBSTEmbedding, TextBatch
from textzoo.parts import build

V, D = 20, 6

# Compiling is nearly all of the time; these programs run once.
quick_jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def make(**options):
    return make_random(lambda: GBSTEmbedding(V, D, **options, rngs=nnx.Rngs(0)))


@functools.cache
def compiled(embedding):
    graphdef, state = nnx.split(embedding)
    run = lambda state, batch: nnx.merge(graphdef, state)(batch)  # noqa: E731
    return functools.partial(quick_jit(run), state)


def run(embedding, batch):
    return compiled(embedding)(batch)


def make_batch(lengths=(13, 12, 5, 1, 0), length=13, seed=0):
    """Texts, with ids under the padding that are those of real bytes."""
    ids = np.random.default_rng(seed).integers(0, V, (len(lengths), 13))
    ids = np.pad(ids, ((0, 0), (0, length - 13)), constant_values=7)
    mask = np.arange(length) < np.asarray(lengths)[:, None]
    return TextBatch(ids=jnp.asarray(ids, jnp.int32), mask=jnp.asarray(mask))


def filled_like_the_port(data, name, **options):
    """An embedding with the weights of ``charformer-pytorch``; its scores have a bias more."""
    embedding = make(convolution="depthwise", share_scores=True, **options)
    get = lambda key: jnp.asarray(data[f"{name}/{key}"])  # noqa: E731
    embedding.table.set_value(get("token_emb.weight"))
    inner = embedding.convolution
    inner.kernel.set_value(get("pos_conv.2.conv.weight")[:, 0].T)
    inner.bias.set_value(get("pos_conv.2.conv.bias"))
    inner.projection.kernel.set_value(get("pos_conv.2.proj_out.weight")[..., 0].T)
    inner.projection.bias.set_value(get("pos_conv.2.proj_out.bias"))
    embedding.score_kernel.set_value(get("score_fn.0.weight"))
    return embedding


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("defaults", dict(downsample=4, calibrate=True, kernel_size=4)),
        ("offsets", dict(block_sizes=(1, 2, 3), use_offsets=True, downsample=2, kernel_size=3)),
    ],
)
def test_states_equal_those_of_charformer_pytorch(name, options):
    with np.load(GOLDEN / "gbst.npz") as data:
        embedding = filled_like_the_port(data, name, **options)
        out = run(embedding, TextBatch(ids=data["ids"], mask=data["mask"]))
        mask = data[f"{name}/states_mask"]
        np.testing.assert_array_equal(out.mask, mask)
        wanted = data[f"{name}/states"][mask]
        np.testing.assert_allclose(np.asarray(out.states)[mask], wanted, atol=1e-5)


def by_the_paper(embedding, ids):
    """One text, position by position, as Google's program reads where it follows the paper."""
    table, taps = np.asarray(embedding.table[...]), np.asarray(embedding.convolution.kernel[...])
    rows, half = table[ids], len(taps) // 2
    x = np.zeros_like(rows)
    for i in range(len(ids)):
        for tap, kernel in enumerate(taps):
            if 0 <= i + tap - half < len(ids):
                x[i] += rows[i + tap - half] @ kernel
    y = np.zeros_like(x)
    for i in range(len(ids)):
        blocks, scores = [], []
        for size, w in zip((2, 3, 4, 1), np.asarray(embedding.score_kernel[...]), strict=True):
            begin = size * (i // size)
            blocks.append(x[begin : begin + size].mean(axis=0))
            scores.append(np.exp(blocks[-1] @ w))
        y[i] = (np.array(scores) / np.sum(scores)) @ np.array(blocks)
    return np.array([y[i : i + 3].mean(axis=0) for i in range(0, len(ids), 3)])


@functools.cache
def default_like():
    return make(block_sizes=(2, 3, 4, 1), downsample=3)


def test_states_equal_the_paper_s_formulas():
    batch = make_batch()
    out = run(default_like(), batch)
    for row, length in enumerate([13, 12, 5, 1, 0]):
        wanted = by_the_paper(default_like(), np.asarray(batch.ids[row, :length]))
        assert np.asarray(out.mask[row]).sum() == len(wanted) == -(-length // 3)
        if length:
            np.testing.assert_allclose(out.states[row, : len(wanted)], wanted, atol=1e-5)


@pytest.mark.parametrize("kind", ["default", "all options"])
def test_padding_and_what_stands_under_it_change_nothing(kind):
    embedding = default_like()
    if kind == "all options":
        embedding = make(
            block_sizes=(2, 5), use_offsets=True, calibrate=True, convolution="depthwise",
            downsample=4,
        )  # fmt: skip
    plain, padded = make_batch(), make_batch(length=22)
    other = padded.replace(ids=jnp.where(padded.mask, padded.ids, -5))
    want = run(embedding, plain)
    for batch in (padded, other):
        found = run(embedding, batch)
        count = want.mask.shape[1]
        np.testing.assert_array_equal(found.mask[:, :count], want.mask)
        assert not found.mask[:, count:].any()
        real = np.asarray(want.mask)
        np.testing.assert_allclose(
            np.asarray(found.states)[:, :count][real], np.asarray(want.states)[real], atol=1e-6
        )
    assert np.isfinite(want.states).all()


def test_all_positions_of_a_block_have_its_mean():
    embedding = make(convolution="none", block_sizes=(4,), downsample=1)
    batch = make_batch(lengths=(13, 6))
    states = np.asarray(run(embedding, batch).states)
    table = np.asarray(embedding.table[...])
    np.testing.assert_allclose(states[0, :4], np.tile(table[batch.ids[0, :4]].mean(0), (4, 1)))
    # The last block of a text is as long as what is left of it.
    np.testing.assert_allclose(states[0, 12], table[batch.ids[0, 12]], atol=1e-6)
    np.testing.assert_allclose(states[1, 5], table[batch.ids[1, 4:6]].mean(0), atol=1e-6)


def test_slopes_are_finite_and_reach_every_parameter_but_no_padding():
    embedding, batch = make(calibrate=True, downsample=3), make_batch(lengths=(13, 4, 0))
    padding = np.setdiff1d(np.arange(V), np.asarray(batch.ids)[np.asarray(batch.mask)])
    graphdef, state = nnx.split(embedding)

    @quick_jit
    @jax.grad
    def slopes(state):
        out = nnx.merge(graphdef, state)(batch)
        return jnp.where(out.mask[..., None], jnp.sin(3 * out.states), 0).sum()

    found = nnx.merge(graphdef, slopes(state))
    for path, variable in nnx.to_flat_state(nnx.state(found)):
        assert np.isfinite(variable[...]).all() and np.any(variable[...]), path
    np.testing.assert_array_equal(found.table[...][padding], 0)


def test_half_precision_is_near():
    graphdef, _ = nnx.split(
        nnx.eval_shape(
            lambda: GBSTEmbedding(
                V, D, block_sizes=(2, 3, 4, 1), downsample=3, dtype="bfloat16", rngs=nnx.Rngs(0)
            )
        )
    )
    exact, batch = run(default_like(), make_batch()), make_batch()
    half = run(nnx.merge(graphdef, nnx.state(default_like())), batch)
    assert half.states.dtype == jnp.bfloat16
    real = np.asarray(exact.mask)
    difference = np.asarray(half.states, np.float32)[real] - np.asarray(exact.states)[real]
    assert np.abs(difference).max() < 0.03 * np.abs(exact.states).max()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(block_sizes=()), "use different sizes"),
        (dict(block_sizes=(1, 2, 2)), "use different sizes"),
        (dict(block_sizes=(0, 2)), "use different sizes"),
        (dict(convolution="wide"), "use one of full, depthwise, none"),
        (dict(kernel_size=4), "odd number"),
        (dict(downsample=0), "downsample=0"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        GBSTEmbedding(V, D, **options, rngs=nnx.Rngs(0))


def test_packed_rows_are_refused():
    batch = make_batch()
    with pytest.raises(ValueError, match="one text to a row"):
        default_like()(batch.replace(segment_ids=jnp.zeros_like(batch.ids)))


def test_vectors_of_texts_are_had_and_those_of_tokens_and_spans_refused():
    config = ModelConfig(
        tokenizer=Part("ByteTokenizer", max_length=40),
        embedding=Part("GBSTEmbedding", vocab_size=384, width=8, convolution="none"),
        pooling=Part("MeanPooling"),
    )
    encoder = textzoo.TextEncoder(build(config, rngs=nnx.Rngs(0)))
    assert encoder.encode(["some text", ""]).shape == (2, 8)
    with pytest.raises(ConfigError, match="its states are not those of tokens"):
        encoder.encode_tokens(["some text"])
    with pytest.raises(ValueError, match="a state for each token"):
        encoder.encode_spans(["some text"], [[(0, 4)]])
