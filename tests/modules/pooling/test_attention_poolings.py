"""Poolings with weights for tokens: against reference formulas, and what holds for all of them."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from textzoo import ModelConfig, Part
from textzoo.checkpoints import weights
from textzoo.modules import (
    AggretrieverPooling,
    AttentionPooling,
    DittoPooling,
    Hidden,
    LatentAttentionPooling,
    TextBatch,
)
from textzoo.modules.attention import attention_weights
from textzoo.modules.pooling.aggretriever import aggregate

GOLDEN = np.load(Path(__file__).parents[2] / "golden" / "poolings.npz")
STATES, MASK = GOLDEN["states"], GOLDEN["mask"]
HEADS, HEAD_DIM, WIDTH = 2, 3, 8


def make_latent() -> LatentAttentionPooling:
    pooling = nnx.eval_shape(
        lambda: LatentAttentionPooling(
            WIDTH, num_latents=5, num_heads=HEADS, head_dim=HEAD_DIM, hidden_dim=12,
            rngs=nnx.Rngs(0),
        )
    )  # fmt: skip
    arrays = {name.removeprefix("latent/"): GOLDEN[name] for name in GOLDEN if "latent/" in name}
    heads = (HEADS, HEAD_DIM)
    # The reference's second half of the up projection is the gate under the GELU, our first is.
    value, gate = np.split(arrays["up"].T, 2, axis=1)
    value_bias, gate_bias = np.split(arrays["up_bias"], 2)
    for module, prefix in (
        (pooling.attention_norm, "query_norm"),
        (pooling.latent_norm, "latent_norm"),
        (pooling.feed_forward_norm, "forward_norm"),
    ):
        module.scale.set_value(jnp.asarray(arrays[f"{prefix}/scale"]))
        module.bias.set_value(jnp.asarray(arrays[f"{prefix}/bias"]))
    for variable, array in (
        (pooling.latents, arrays["latents"]),
        (pooling.query.kernel, arrays["query"].T.reshape(WIDTH, *heads)),
        (pooling.key_value.kernel, arrays["key_value"].T.reshape(WIDTH, 2, *heads)),
        (pooling.out.kernel, arrays["out"].T.reshape(*heads, WIDTH)),
        (pooling.feed_forward.up.kernel, np.stack([gate, value], axis=1)),
        (pooling.feed_forward.up.bias, np.stack([gate_bias, value_bias])),
        (pooling.feed_forward.down.kernel, arrays["down"].T),
        (pooling.feed_forward.down.bias, arrays["down_bias"]),
    ):
        assert variable.shape == array.shape
        variable.set_value(jnp.asarray(array))
    return pooling


def make_aggretriever() -> AggretrieverPooling:
    pooling = nnx.eval_shape(
        lambda: AggretrieverPooling(WIDTH, 37, lexical_dim=4, semantic_dim=3, rngs=nnx.Rngs(0))
    )
    arrays = {name.split("/")[1]: GOLDEN[name] for name in GOLDEN if "aggretriever/" in name}
    language = pooling.language
    for variable, array in (
        (language.dense.kernel, arrays["dense"].T),
        (language.dense.bias, arrays["dense_bias"]),
        (language.norm.scale, arrays["scale"]),
        (language.norm.bias, arrays["bias"]),
        (language.output.kernel, arrays["output"].T),
        (language.output_bias, arrays["output_bias"]),
        (pooling.term_weight.kernel, arrays["weight"].T),
        (pooling.term_weight.bias, arrays["weight_bias"]),
        (pooling.semantic.kernel, arrays["semantic"].T),
        (pooling.semantic.bias, arrays["semantic_bias"]),
    ):
        assert variable.shape == array.shape
        variable.set_value(jnp.asarray(array))
    return pooling


def make_hidden(states=STATES, mask=MASK, dtype=jnp.float32) -> Hidden:
    states = jnp.asarray(states, dtype)
    diagonal = jax.nn.sigmoid(states[..., :2]).swapaxes(1, 2)[:, None]
    return Hidden(
        states=states, mask=jnp.asarray(mask), layers=(states, 2 * states),
        attention_diagonal=diagonal.astype(jnp.float32),
    )  # fmt: skip


def make_attention() -> AttentionPooling:
    pooling = nnx.eval_shape(lambda: AttentionPooling(WIDTH, hidden_dim=5, rngs=nnx.Rngs(0)))
    rng = np.random.default_rng(1)
    for variable in (pooling.dense.kernel, pooling.dense.bias, pooling.query.kernel):
        variable.set_value(jnp.asarray(rng.normal(size=variable.shape), jnp.float32))
    return pooling


POOLINGS = {
    "attention": make_attention(),
    "latent": make_latent(),
    "ditto": DittoPooling(layer=0, head=1),
    "aggretriever": make_aggretriever(),
}
# Compiled once, for texts and for spans, and shared by the tests.
COMPILED = {
    name: jax.jit(lambda hidden, spans=None, pooling=pooling: pooling(hidden, spans))
    for name, pooling in POOLINGS.items()
}
SPANS = np.random.default_rng(0).random((3, 4, 6)) < 0.6
SPANS[:, 0], SPANS[:, 1] = MASK, False

by_name = pytest.mark.parametrize("name", POOLINGS)


def test_latent_attention_equals_the_released_formula():
    np.testing.assert_allclose(
        COMPILED["latent"](make_hidden()), GOLDEN["latent_attention"], rtol=1e-5, atol=1e-5
    )


def test_aggretriever_equals_the_formula_of_its_code():
    # The golden rows all have padding, with which the code's maximum is never below zero.
    assert not MASK.all(axis=1).any()
    np.testing.assert_allclose(
        COMPILED["aggretriever"](make_hidden()), GOLDEN["aggretriever"], rtol=1e-5, atol=1e-6
    )


def test_the_first_token_counts_for_the_semantic_part_alone():
    pooling = make_aggretriever()
    # All weights positive, so that every token can win.
    pooling.term_weight.bias.set_value(jnp.asarray([50.0]))
    compiled = jax.jit(lambda hidden: pooling(hidden))
    before = compiled(make_hidden())
    after = compiled(make_hidden(np.where(np.arange(6)[:, None] == 0, 2 * STATES, STATES)))
    np.testing.assert_array_equal(after[:, :4], before[:, :4])
    assert (np.abs(after[:, 4:] - before[:, 4:]) > 1e-3).all()
    # The last text has one token, and nothing lexical to say.
    np.testing.assert_array_equal(before[2, :4], 0)
    assert (np.abs(before[:2, :4]) > 0.1).all()


def test_aggregation_of_berts_vocabulary_equals_the_code():
    lexical = np.random.default_rng(4).normal(size=(2, 30_522)).astype(np.float32)
    np.testing.assert_array_equal(lexical[:, :128], GOLDEN["lexical"])
    for full, width in ((True, 640), (False, 768)):
        expected = GOLDEN["aggregate_full" if full else "aggregate_plain"]
        np.testing.assert_array_equal(aggregate(jnp.asarray(lexical), width, full=full), expected)


def test_aggregation_by_hand():
    # Seven tokens: 3 are left over by slices of 4, so the first 3 go; maxima are themselves.
    lexical = jnp.asarray([[9.0, 9, 9, 1, 2, 5, 3]])
    # 1 < 2 gives -2, 5 > 3 gives 5.
    np.testing.assert_array_equal(aggregate(lexical, 2), [[-2, 5]])
    # Slices of 2 leave the first over: max(9, 1, 5) and max(9, 2, 3).
    np.testing.assert_array_equal(aggregate(lexical, 2, full=False), [[9, 9]])
    # Fewer tokens than slots: zeros fill up, x = [9, 9, 2, 3, 0] and y = [9, 1, 5, 0, 0].
    np.testing.assert_array_equal(aggregate(lexical, 5), [[-9, 9, -5, 3, 0]])


def test_ditto_equals_whole_attention_matrices():
    query, key = (jnp.asarray(GOLDEN[name])[:, :, None] for name in ("query", "key"))
    attention = attention_weights(query, key, jnp.asarray(MASK)[:, None, None])
    layers = jnp.asarray(GOLDEN["layers"])
    hidden = Hidden(
        states=layers[1], mask=jnp.asarray(MASK), layers=(layers[0], layers[1]),
        attention_diagonal=jnp.diagonal(attention, axis1=-2, axis2=-1)[:, None],
    )  # fmt: skip
    for pooling in (DittoPooling(), jax.jit(DittoPooling())):
        np.testing.assert_allclose(pooling(hidden), GOLDEN["ditto"], rtol=1e-5, atol=1e-6)


def test_ditto_by_hand():
    # Weights 0.5 and 0.25; means of both layers [3, 6] and [6, 12]: 0.5 * 3 + 0.25 * 6 = 3.
    first, last = [[2.0, 4], [4, 8], [9, 9]], [[4.0, 8], [8, 16], [9, 9]]
    hidden = Hidden(
        states=jnp.zeros((1, 3, 2)),
        mask=jnp.asarray([[True, True, False]]),
        layers=(jnp.asarray([first]), jnp.asarray([last])),
        attention_diagonal=jnp.asarray([[[[0.5, 0.25, 0.9]]]]),
    )
    np.testing.assert_array_equal(DittoPooling()(hidden), [[3, 6]])
    np.testing.assert_array_equal(DittoPooling(divide=True)(hidden), [[4, 8]])
    np.testing.assert_array_equal(DittoPooling(states="last")(hidden), [[4, 8]])


def test_attention_pooling_by_hand():
    pooling = AttentionPooling(2, hidden_dim=1, rngs=nnx.Rngs(0))
    pooling.dense.kernel.set_value(jnp.asarray([[1.0], [0.0]]))
    pooling.query.kernel.set_value(jnp.asarray([[np.log(3) / np.tanh(1)]], jnp.float32))
    # Scores tanh(1) u = log 3 and tanh(0) u = 0: weights 3/4 and 1/4.
    hidden = make_hidden([[[1.0, 4], [0, 8], [50, 50]]], [[True, True, False]])
    np.testing.assert_allclose(pooling(hidden), [[0.75, 5]], rtol=1e-6)
    np.testing.assert_allclose(jax.jit(pooling)(hidden), [[0.75, 5]], rtol=1e-6)


@functools.cache
def spans_in_longer_rows(name) -> np.ndarray:
    """Vectors of the spans, with four columns of noise behind every text."""
    states = np.concatenate([STATES, np.full((3, 4, WIDTH), 1e3, np.float32)], axis=1)
    longer = make_hidden(states, np.pad(MASK, ((0, 0), (0, 4))))
    return np.asarray(COMPILED[name](longer, np.pad(SPANS, ((0, 0), (0, 0), (0, 4)))))


@by_name
def test_padding_does_not_matter(name):
    # The first span is the whole text.
    np.testing.assert_allclose(
        spans_in_longer_rows(name)[:, 0], COMPILED[name](make_hidden()), rtol=1e-5, atol=1e-5
    )


@by_name
def test_what_stands_in_padding_does_not_matter(name):
    other = make_hidden(np.where(MASK[..., None], STATES, 1e3))
    np.testing.assert_array_equal(COMPILED[name](other), COMPILED[name](make_hidden()))


@by_name
def test_a_span_is_pooled_for_itself(name):
    for index in (2, 3):
        alone = make_hidden(mask=SPANS[:, index] & MASK)
        np.testing.assert_allclose(
            spans_in_longer_rows(name)[:, index], COMPILED[name](alone), rtol=1e-5, atol=1e-5
        )


@by_name
def test_an_empty_span_gives_zeros(name):
    np.testing.assert_array_equal(spans_in_longer_rows(name)[:, 1], 0)


@by_name
def test_gradients_are_finite_and_stay_out_of_padding(name):
    mask = MASK.copy()
    mask[2] = False
    pooling, hidden = POOLINGS[name], make_hidden(mask=mask)
    graph, parameters = nnx.split(pooling)

    @jax.jit
    def gradients(parameters, states):
        def total(parameters, states):
            parts = hidden.replace(states=states, layers=(states, states))
            return jnp.square(nnx.merge(graph, parameters)(parts)).sum()

        return jax.grad(total, argnums=(0, 1))(parameters, states)

    of_parameters, of_states = gradients(parameters, hidden.states)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(of_parameters))
    assert all(np.abs(leaf).sum() > 0 for leaf in jax.tree.leaves(of_parameters))
    np.testing.assert_array_equal(of_states[~mask], 0)
    assert np.abs(of_states[mask]).sum() > 0


@by_name
def test_a_text_of_padding_gives_zeros(name):
    empty = make_hidden(mask=np.zeros_like(MASK))
    np.testing.assert_array_equal(COMPILED[name](empty), 0)


@by_name
def test_half_precision_states_give_float32_vectors_near_the_exact_ones(name):
    exact = COMPILED[name](make_hidden())
    half = COMPILED[name](make_hidden(dtype=jnp.bfloat16))
    assert half.dtype == jnp.float32
    np.testing.assert_allclose(half, exact, atol=0.05 * np.abs(exact).max())


def test_many_tokens_go_through_the_language_head_in_parts(monkeypatch):
    # Two tokens at a time, and the last part is half full.
    monkeypatch.setattr("textzoo.modules.pooling.aggretriever._CELLS", 2 * 37 * 3)
    pooling = POOLINGS["aggretriever"]
    # A function of its own: the compiled ones have their chunks already.
    parts = jax.jit(lambda hidden: pooling(hidden))(make_hidden(STATES[:, :5], MASK[:, :5]))
    np.testing.assert_allclose(parts, GOLDEN["aggretriever"], rtol=1e-5, atol=1e-6)


def test_ditto_asks_the_model_for_layers_and_diagonals():
    config = ModelConfig(
        embedding=Part("SubwordEmbedding", vocab_size=9, width=8),
        encoder=Part("TransformerEncoder", width=8, num_layers=2, num_heads=2, hidden_dim=8),
        pooling=Part("DittoPooling", layer=-1, head=1),
    )
    model = weights.abstract_model(ModelConfig.from_dict(config.to_dict()))
    rng = np.random.default_rng(0)
    shapes = weights.parameter_shapes(model)
    arrays = {path: rng.normal(size=shape) for path, shape in shapes.items()}
    weights.fill(model, arrays, source="test")
    batch = TextBatch(ids=np.asarray([[3, 4, 5]]), mask=np.asarray([[True, True, False]]))

    @jax.jit
    def run(batch):
        inner = model.embedding(batch)
        hidden = model.encoder(inner, return_layers=True, return_attention_diagonal=True)
        return model(batch).vectors[0], hidden

    vector, hidden = run(batch)
    diagonal = hidden.attention_diagonal[0, 1, 1, :2, None]
    expected = (diagonal * (hidden.layers[0] + hidden.layers[2])[0, :2] / 2).sum(axis=0)
    np.testing.assert_allclose(vector, expected, rtol=1e-5)


def test_ditto_refuses_what_the_encoder_has_not():
    with pytest.raises(ValueError, match="layer=0, head=2, but the encoder has 1 layers of 2"):
        DittoPooling(head=2)(make_hidden())
    with pytest.raises(ValueError, match="return_attention_diagonal=True"):
        DittoPooling()(make_hidden().replace(attention_diagonal=None))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DittoPooling(states="first"), "states='first' is unknown"),
        (lambda: DittoPooling(head=-1), "counted from 0"),
        (lambda: AttentionPooling(0, rngs=nnx.Rngs(0)), "width=0; use 1 or more"),
        (
            lambda: LatentAttentionPooling(9, num_heads=2, rngs=nnx.Rngs(0)),
            "not divisible by num_heads=2",
        ),
        (lambda: AggretrieverPooling(8, 0, rngs=nnx.Rngs(0)), "vocab_size=0; use 1 or more"),
        (
            lambda: AggretrieverPooling(8, 9, semantic_dim=-1, rngs=nnx.Rngs(0)),
            "semantic_dim=-1; use 1 or more, or 0",
        ),
    ],
)
def test_bad_options_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
