"""Embeddings made of embeddings."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from textzoo.checkpoints.bundle import Bundle
from textzoo.checkpoints.directory import read_directory, write_directory
from textzoo.config import ModelConfig, Part
from textzoo.errors import ConfigError
from textzoo.modules import (
    ConcatenateEmbedding,
    GatedEmbedding,
    IdentityEncoder,
    SubwordEmbedding,
    SumEmbedding,
    TextBatch,
)
from textzoo.parts import build, build_part

V = 12
IDS = np.array([[3, 0, 9], [1, 1, 2]], np.int32)
BATCH = TextBatch(ids=IDS, mask=np.array([[1, 1, 1], [1, 1, 0]], bool), type_ids=IDS)
EVERY_ID = TextBatch(ids=np.arange(V, dtype=np.int32)[None], mask=np.ones((1, V), bool))


def tables(*widths: int) -> list[SubwordEmbedding]:
    return [SubwordEmbedding(V, width, rngs=nnx.Rngs(seed)) for seed, width in enumerate(widths)]


def rows(embedding) -> np.ndarray:
    return np.asarray(embedding.table[...])


def scores_equal_products(embedding, width: int) -> None:
    states = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, width)), jnp.float32)
    vectors = np.asarray(embedding(EVERY_ID).states[0])
    np.testing.assert_allclose(embedding.attend(states), states @ vectors.T, atol=1e-6)


def test_a_sum_adds_its_parts_and_carries_along_what_encoders_need():
    first, second = tables(4, 4)
    hidden = SumEmbedding([first, second])(BATCH)
    np.testing.assert_array_equal(hidden.states, (rows(first) + rows(second))[IDS])
    np.testing.assert_array_equal(hidden.type_ids, IDS)


def test_scales_of_a_sum_begin_at_one_and_weigh_the_parts():
    first, second = tables(4, 4)
    embedding = SumEmbedding([first, second], learn_scales=True)
    np.testing.assert_array_equal(embedding(BATCH).states, (rows(first) + rows(second))[IDS])
    embedding.scales.set_value(jnp.array([2.0, -1.0]))
    expected = (2 * rows(first) - rows(second))[IDS]
    np.testing.assert_allclose(embedding(BATCH).states, expected, atol=1e-7)
    scores_equal_products(embedding, 4)


def test_a_concatenation_puts_its_parts_side_by_side():
    first, second = tables(4, 2)
    embedding = ConcatenateEmbedding([first, second], rngs=nnx.Rngs(0))
    assert embedding.width == 6
    expected = np.concatenate([rows(first), rows(second)], axis=1)[IDS]
    np.testing.assert_array_equal(embedding(BATCH).states, expected)
    scores_equal_products(embedding, 6)


def test_a_concatenation_can_be_mapped_to_any_width():
    first, second = tables(4, 2)
    embedding = ConcatenateEmbedding([first, second], width=3, rngs=nnx.Rngs(0))
    kernel = np.asarray(embedding.projection.kernel[...])
    expected = (np.concatenate([rows(first), rows(second)], axis=1) @ kernel)[IDS]
    np.testing.assert_allclose(embedding(BATCH).states, expected, atol=1e-7)
    scores_equal_products(embedding, 3)


def softmax(x: np.ndarray, axis: int) -> np.ndarray:
    x = np.exp(x - x.max(axis=axis, keepdims=True))
    return x / x.sum(axis=axis, keepdims=True)


def test_a_token_gate_weighs_embeddings_by_one_number_each():
    first, second = tables(4, 4)
    embedding = GatedEmbedding([first, second], rngs=nnx.Rngs(0))
    rng = np.random.default_rng(0)
    v, b = rng.normal(0, 9, (2, 4)), rng.normal(size=2)
    for scorer, kernel, bias in zip(embedding.scorers, v, b, strict=True):
        scorer.kernel.set_value(jnp.asarray(kernel[:, None], jnp.float32))
        scorer.bias.set_value(jnp.asarray([bias], jnp.float32))
    e = np.stack([rows(first), rows(second)], axis=1)[IDS]  # [B, L, N, D]
    gates = softmax((e * v).sum(axis=-1) + b, axis=-1)
    expected = (gates[..., None] * e).sum(axis=2)
    np.testing.assert_allclose(embedding(BATCH).states, expected, atol=1e-6)
    assert not hasattr(embedding, "attend")


def test_a_feature_gate_weighs_every_feature_looking_at_all_of_them():
    first, second = tables(4, 4)
    embedding = GatedEmbedding([first, second], gate="feature", rngs=nnx.Rngs(0))
    rng = np.random.default_rng(0)
    W, b = rng.normal(0, 9, (2, 4, 2, 4)), rng.normal(size=(2, 4))
    embedding.scorers[0].kernel.set_value(jnp.asarray(W, jnp.float32))
    embedding.scorers[0].bias.set_value(jnp.asarray(b, jnp.float32))
    e = np.stack([rows(first), rows(second)], axis=1)[IDS]
    gates = softmax(np.einsum("blnd,ndmk->blmk", e, W) + b, axis=2)
    np.testing.assert_allclose(embedding(BATCH).states, (gates * e).sum(axis=2), atol=1e-6)


def test_gates_of_half_precision_add_up_to_one():
    parts = [SubwordEmbedding(V, 4, dtype="bfloat16", rngs=nnx.Rngs(0)) for _ in range(3)]
    states = GatedEmbedding(parts, dtype="bfloat16", rngs=nnx.Rngs(0))(BATCH).states
    assert states.dtype == jnp.bfloat16
    # All parts are the same, so what a gate chooses among does not matter.
    np.testing.assert_allclose(
        states.astype(jnp.float32), rows(parts[0])[IDS], atol=0.01 * np.abs(rows(parts[0])).max()
    )


def test_what_cannot_be_scored_has_no_attend():
    table, other = tables(4, 4)
    gated = GatedEmbedding([table, other], rngs=nnx.Rngs(0))
    assert hasattr(SumEmbedding([table, other]), "attend")
    assert not hasattr(SumEmbedding([table, gated]), "attend")
    assert not hasattr(ConcatenateEmbedding([gated, table], rngs=nnx.Rngs(0)), "attend")


TABLE = Part("SubwordEmbedding", vocab_size=V, width=4)
NESTED = Part(
    "SumEmbedding",
    learn_scales=True,
    parts=[
        TABLE,
        Part("ConcatenateEmbedding", width=4, parts=[
            Part("HashedEmbedding", vocab_size=V, width=2, num_rows=3),
            Part("GatedEmbedding", parts=[TABLE, TABLE.replace(scale=2.0)]),
        ]),
    ],
)  # fmt: skip


def test_nested_parts_survive_saving_and_loading(tmp_path):
    config = ModelConfig(embedding=NESTED, pooling=Part("MeanPooling"))
    model = build(config, rngs=nnx.Rngs(0))
    write_directory(tmp_path / "model", Bundle(model=model, tokenizer=None))
    again = read_directory(tmp_path / "model").model
    assert again.config == config
    assert isinstance(again.embedding.parts[1].parts[1], GatedEmbedding)
    np.testing.assert_array_equal(again(BATCH).vectors, model(BATCH).vectors)


def test_the_place_of_a_bad_nested_embedding_is_named():
    bad = NESTED.replace(parts=[TABLE, TABLE.replace(widht=4)])
    with pytest.raises(ConfigError, match=r"embedding.parts\[1\]: .* no option 'widht'"):
        build_part(bad, where="embedding", rngs=nnx.Rngs(0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SumEmbedding([]), "needs a list of embeddings"),
        (lambda: SumEmbedding("SubwordEmbedding"), "needs a list of embeddings"),
        (lambda: SumEmbedding([IdentityEncoder()]), "IdentityEncoder, which has no width"),
        (lambda: SumEmbedding(tables(4, 2)), r"have the widths \[4, 2\]"),
        (lambda: GatedEmbedding(tables(4), rngs=nnx.Rngs(0)), "add one"),
        (lambda: GatedEmbedding(tables(4, 4), gate="word", rngs=nnx.Rngs(0)), "'token' or"),
    ],
)
def test_parts_that_do_not_fit_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_parts_that_shorten_texts_are_refused_beside_others():
    class Shorter(SubwordEmbedding):
        def __call__(self, batch):
            return super().__call__(TextBatch(ids=batch.ids[:, ::2], mask=batch.mask[:, ::2]))

    with pytest.raises(ValueError, match=r"return \[3, 2\] states a text"):
        SumEmbedding([*tables(4), Shorter(V, 4, rngs=nnx.Rngs(0))])(BATCH)
