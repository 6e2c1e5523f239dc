"""Windows cover a text, follow from its last real token, and each token is taken from one."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from tiny_families import make_random, run

import textzoo
from textzoo import ModelConfig, Part
from textzoo.checkpoints.bundle import Bundle
from textzoo.checkpoints.directory import read_directory, write_directory
from textzoo.modules import (
    ConvolutionEncoder,
    Hidden,
    HierarchicalEncoder,
    LastPooling,
    MeanPooling,
    RecurrentEncoder,
    RecursiveConvolution,
    TextBatch,
    TransformerEncoder,
    WindowedEncoder,
)
from textzoo.modules.windows import (
    MERGES,
    choose_windows,
    cut_windows,
    merge_windows,
    needed_windows,
)

WIDTH, WINDOW, STRIDE = 4, 6, 3


def starts_of(length, window, stride):
    """The first tokens of the windows that a text needs."""
    starts = [0] if length else []
    while starts and starts[-1] + window < length:
        starts.append(starts[-1] + stride)
    return starts


@pytest.mark.parametrize(("window", "stride"), [(5, 2), (4, 4), (7, 3)])
def test_tokens_are_taken_from_the_window_that_surrounds_them_best(window, stride):
    lengths = np.arange(13)
    mask = jnp.asarray(np.arange(12) < lengths[:, None])

    @jax.jit
    def run(mask):
        return (
            needed_windows(mask, window, stride),
            choose_windows(mask, window, stride),
            choose_windows(mask, window, stride, "first"),
        )

    needed, center, first = (np.asarray(array) for array in run(mask))
    for length in lengths:
        starts = starts_of(length, window, stride)
        np.testing.assert_array_equal(needed[length], np.arange(needed.shape[1]) < len(starts))
        for token in range(length):
            context = {
                number: min(token - start, min(start + window, length) - 1 - token)
                for number, start in enumerate(starts)
                if start <= token < start + window
            }
            assert first[length, token] == min(context)
            assert center[length, token] == max(context, key=lambda n: (context[n], -n))  # noqa: B023


def test_windows_by_hand():
    x = jnp.arange(1, 8)[None, :, None] * 1.0
    cut = cut_windows(x, 4, 2)
    # Tokens 1 to 7 in windows from 1, 3 and 5; the last has three tokens and a zero.
    np.testing.assert_array_equal(cut[0, :, :, 0], [[1, 2, 3, 4], [3, 4, 5, 6], [5, 6, 7, 0]])
    mask = jnp.ones((1, 7), bool)
    states = cut + jnp.asarray([100.0, 200, 300])[None, :, None, None]
    # Token 3 is third of the first window and first of the second; token 6 is last of the second.
    merge = jax.jit(lambda mask: [merge_windows(states, mask, 2, rule)[0, :, 0] for rule in MERGES])
    center, first, mean = merge(mask)
    np.testing.assert_array_equal(center, [101, 102, 103, 204, 205, 306, 307])
    np.testing.assert_array_equal(first, [101, 102, 103, 104, 205, 206, 307])
    np.testing.assert_array_equal(mean, [101, 102, 153, 154, 255, 256, 307])
    short = merge(jnp.arange(7)[None] < 5)[2]
    # Five tokens need two windows; what the third holds does not count.
    np.testing.assert_array_equal(short, [101, 102, 153, 154, 205, 0, 0])


@functools.cache
def make_windowed(merge="center", **options):
    transformer = make_random(
        lambda: TransformerEncoder(
            WIDTH, num_layers=1, num_heads=2, hidden_dim=8, max_length=WINDOW, num_types=2,
            rngs=nnx.Rngs(0),
        )
    )  # fmt: skip
    return WindowedEncoder(transformer, window=WINDOW, stride=STRIDE, merge=merge, **options)


@functools.cache
def compiled(encoder, **options):
    graphdef, state = nnx.split(encoder)
    run = jax.jit(lambda state, hidden: nnx.merge(graphdef, state)(hidden, **options))
    return functools.partial(run, state)


def make_hidden(lengths=(14, 8, 5, 0), length=14):
    states = np.random.default_rng(0).normal(size=(4, 14, WIDTH))
    states = np.pad(states, ((0, 0), (0, length - 14), (0, 0)), constant_values=7)
    mask = np.arange(length) < np.asarray(lengths)[:, None]
    types = np.arange(length)[None] // 4 % 2 * np.ones((4, 1), np.int32)
    return Hidden(
        states=jnp.asarray(np.where(mask[..., None], states, 7), jnp.float32),
        mask=jnp.asarray(mask), type_ids=jnp.asarray(types, jnp.int32),
    )  # fmt: skip


def alone(encoder, hidden, row, start, stop):
    """States of a stretch of a text that is read by itself."""
    extra = WINDOW - (stop - start)
    part = Hidden(
        states=jnp.pad(hidden.states[row : row + 1, start:stop], ((0, 0), (0, extra), (0, 0))),
        mask=jnp.arange(WINDOW)[None] < stop - start,
        type_ids=jnp.pad(hidden.type_ids[row : row + 1, start:stop], ((0, 0), (0, extra))),
    )
    return np.asarray(compiled(encoder)(part).states[0, : stop - start])


def test_states_are_those_of_windows_read_alone():
    hidden, encoder = make_hidden(), make_windowed()
    found = np.asarray(compiled(encoder)(hidden).states)
    mask = np.asarray(hidden.mask)
    chosen = np.asarray(choose_windows(hidden.mask, WINDOW, STRIDE))
    for row, length in ((0, 14), (1, 8)):
        for number, start in enumerate(starts_of(length, WINDOW, STRIDE)):
            stop = min(start + WINDOW, length)
            wanted = alone(encoder.encoder, hidden, row, start, stop)
            for token in np.flatnonzero((chosen[row] == number) & mask[row]):
                np.testing.assert_allclose(found[row, token], wanted[token - start], atol=1e-5)
    # A text that fits into one window is read as without windows.
    np.testing.assert_allclose(found[2, :5], alone(encoder.encoder, hidden, 2, 0, 5), atol=1e-5)
    assert not found[3].any() and not found[~mask].any()


@pytest.mark.parametrize("merge", ["center", "mean"])
def test_padding_of_windows_makes_no_difference(merge):
    run = compiled(make_windowed(merge))
    short, long = run(make_hidden()).states, run(make_hidden(length=20)).states
    np.testing.assert_allclose(long[:, :14], short, atol=1e-5)
    assert not np.asarray(long[:, 14:]).any()


def test_spans_of_windows_are_late_chunks():
    hidden = make_hidden()
    out = compiled(make_windowed())(hidden)
    spans = np.zeros((4, 2, 14), bool)
    spans[0, 0, 4:9] = True
    vectors = MeanPooling()(out, spans)
    np.testing.assert_allclose(vectors[0, 0], np.asarray(out.states[0, 4:9]).mean(0), atol=1e-6)
    # The chunk is told apart from the same tokens in another surrounding.
    changed = hidden.replace(states=hidden.states.at[0, 3, 0].add(1.0))
    other = MeanPooling()(compiled(make_windowed())(changed), spans)
    assert np.abs(other[0, 0] - vectors[0, 0]).max() > 1e-3


def test_layers_and_diagonals_are_merged_like_states():
    hidden = make_hidden()
    out = compiled(make_windowed(), return_layers=True, return_attention_diagonal=True)(hidden)
    assert len(out.layers) == 2
    np.testing.assert_array_equal(out.layers[1], out.states)
    assert out.attention_diagonal.shape == (4, 1, 2, 14)
    part = Hidden(
        states=hidden.states[2:3, :5], mask=jnp.ones((1, 5), bool),
        type_ids=hidden.type_ids[2:3, :5],
    )  # fmt: skip
    inner = compiled(make_windowed().encoder, return_attention_diagonal=True)(part)
    np.testing.assert_allclose(
        out.attention_diagonal[2, :, :, :5], inner.attention_diagonal[0], atol=1e-6
    )


@functools.cache
def make_hierarchical(**options):
    segment = make_random(
        lambda: ConvolutionEncoder(WIDTH, num_layers=1, norm="post", rngs=nnx.Rngs(0))
    )
    top = make_random(
        lambda: RecurrentEncoder(6, embed_dim=WIDTH, is_bidirectional=False, rngs=nnx.Rngs(0)),
        seed=1,
    )
    return HierarchicalEncoder(segment, top, window=WINDOW, stride=STRIDE, **options)


def test_a_document_is_its_segments_and_then_its_top():
    hidden, encoder = make_hidden(), make_hierarchical()
    out = compiled(encoder)(hidden)
    np.testing.assert_array_equal(out.mask.sum(1), [4, 2, 1, 0])
    wanted = [
        alone(encoder.segment_encoder, hidden, 1, start, stop).mean(0)
        for start, stop in ((0, 6), (3, 8))
    ]
    segments = Hidden(states=jnp.asarray(wanted)[None], mask=jnp.ones((1, 2), bool))
    top = compiled(encoder.top_encoder)(segments).states[0]
    np.testing.assert_allclose(out.states[1, :2], top, atol=1e-5)
    longer = compiled(encoder)(make_hidden(length=20))
    np.testing.assert_allclose(LastPooling()(longer), LastPooling()(out), atol=1e-5)
    assert not np.asarray(LastPooling()(out))[3].any()


@pytest.mark.parametrize("frozen", [False, True])
def test_gradients_are_finite_and_end_at_frozen_segments(frozen):
    graphdef, state = nnx.split(make_hierarchical(freeze_segments=frozen))

    @jax.jit
    def gradient(state, hidden):
        def loss(state, x):
            out = nnx.merge(graphdef, state)(hidden.replace(states=x))
            return (LastPooling()(out) * jnp.cos(jnp.arange(6))).sum()

        return jax.grad(loss, argnums=(0, 1))(state, hidden.states)

    of_parameters, of_input = gradient(state, make_hidden())
    of_parameters = nnx.merge(graphdef, of_parameters)
    for leaf in jax.tree.leaves(nnx.state(of_parameters.top_encoder)):
        assert np.isfinite(leaf).all() and np.any(leaf)
    for leaf in jax.tree.leaves(nnx.state(of_parameters.segment_encoder)):
        assert np.isfinite(leaf).all() and np.any(leaf) != frozen
    seen = np.any(np.asarray(of_input), axis=-1)
    np.testing.assert_array_equal(seen, np.asarray(make_hidden().mask) & (not frozen))


def test_nested_parts_are_built_saved_and_loaded(tmp_path):
    config = ModelConfig(
        embedding=Part("SubwordEmbedding", vocab_size=9, width=WIDTH),
        encoder=Part(
            "HierarchicalEncoder", window=4, segment_pooling=Part("MaxPooling"),
            segment_encoder=Part("WindowedEncoder", encoder=Part("IdentityEncoder"), window=2),
            top_encoder=Part("ConvolutionEncoder", width=WIDTH, num_layers=1, norm="none"),
        ),
        pooling=Part("MaxPooling"),
    )  # fmt: skip
    model = make_random(lambda: textzoo.build(config, rngs=nnx.Rngs(0)))
    batch = TextBatch(ids=jnp.asarray([[1, 2, 3, 4, 5, 6]]), mask=jnp.ones((1, 6), bool))
    write_directory(tmp_path / "nested", Bundle(model=model, tokenizer=None))
    again = read_directory(tmp_path / "nested").model
    assert again.config == config
    np.testing.assert_array_equal(run(again, batch).vectors, run(model, batch).vectors)


def test_segments_have_no_spans_of_tokens():
    out = Hidden(states=jnp.ones((1, 1, WIDTH)), mask=jnp.ones((1, 1), bool))
    with pytest.raises(ValueError, match="spans are of 5 tokens, and there are 1 states"):
        MeanPooling()(out, np.ones((1, 2, 5), bool))


def test_bad_options_are_refused():
    inner = make_windowed().encoder
    for options, message in (
        (dict(window=0), "window=0; use 1 or more"),
        (dict(window=4, stride=5), "stride=5 with window=4; use 1 to 4"),
        (dict(window=4, merge="last"), "merge='last' is unknown; use one of center, first, mean"),
        (dict(window=9), "at most 6 tokens; use window=6, or build it with max_length=9"),
    ):
        with pytest.raises(ValueError, match=message):
            WindowedEncoder(inner, **options)
    with pytest.raises(ValueError, match="segment encoder takes at most 6 tokens"):
        HierarchicalEncoder(inner, inner, window=9)


def test_bad_inputs_are_refused():
    hidden, ones = make_hidden(), jnp.ones((4, 14), jnp.int32)
    for encoder in (make_windowed(), make_hierarchical()):
        with pytest.raises(ValueError, match="give it one text to a row"):
            encoder(hidden.replace(segment_ids=ones))
        with pytest.raises(ValueError, match="leave TextBatch.positions out"):
            encoder(hidden.replace(positions=ones))
    shortening = make_random(
        lambda: RecursiveConvolution(WIDTH, num_layers=1, norm="none", rngs=nnx.Rngs(0))
    )
    with pytest.raises(ValueError, match="returned 4 states for the 6 tokens of a window"):
        WindowedEncoder(shortening, window=6)(hidden)
