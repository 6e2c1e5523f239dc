"""Words by an LSTM over letters beside a table, the head that spells them, and their objective."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from tiny_families import make_random

from textzoo import ModelConfig, Part, build
from textzoo.errors import ConfigError
from textzoo.modules import CharacterLSTMEmbedding, TextBatch, XRayEmbedding
from textzoo.modules.heads import LettersHead
from textzoo.modules.tokenizers.units import UnitVocabulary
from textzoo.trainers.batch import TrainBatch
from textzoo.trainers.objectives.word_mimic import WordMimicObjective, join_units, pool_pieces

UNITS = np.array([[[3, 1, 4, 2], [5, 0, 0, 0], [0, 0, 0, 0]]], np.int32)
MASK = np.arange(4) < np.array([4, 1, 0])[None, :, None]
BATCH = TextBatch(
    ids=np.array([[2, 4, 1]], np.int32), mask=np.ones((1, 3), bool), units=UNITS, unit_mask=MASK
)


@functools.cache
def letters():
    return make_random(
        lambda: CharacterLSTMEmbedding(
            4, unit_vocab_size=6, unit_dim=3, hidden_dim=2, num_layers=2, rngs=nnx.Rngs(0)
        )
    )


@jax.jit
def states(embedding, batch):
    return embedding(batch).states


def lstm(x, layer, direction, h=None):
    """One direction of a layer, step by step, in the order of the text."""
    kernel, bias = (np.asarray(p[...]) for p in (layer.input_map.kernel, layer.input_map.bias))
    recurrent = np.asarray(layer.recurrent_kernel[...])[direction]
    h = np.zeros(recurrent.shape[0]) if h is None else h
    c, found = np.zeros_like(h), {}
    for place in range(len(x))[:: -1 if direction else 1]:
        maps = np.einsum("d,dgh->gh", x[place], kernel[:, direction]) + bias[direction]
        i, f, g, o = maps + np.einsum("h,hgk->gk", h, recurrent)
        c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
        h = np.tanh(c) / (1 + np.exp(-o))
        found[place] = h
    return np.stack([found[place] for place in range(len(x))])


def linear(x, layer):
    return x @ np.asarray(layer.kernel[...]) + np.asarray(layer.bias[...])


def test_vectors_follow_the_formulas_and_a_token_without_units_is_zero():
    embedding = letters()
    found = states(embedding, BATCH)[0]
    for token, count in enumerate((4, 1)):
        x = np.asarray(embedding.table[...])[UNITS[0, token, :count]]
        for layer in embedding.layers:
            sides = [lstm(x, layer, direction) for direction in (0, 1)]
            x = np.concatenate(sides, axis=1)
        z = np.concatenate([sides[0][-1], sides[1][0]])
        expected = linear(
            np.maximum(linear(np.maximum(z, 0), embedding.inner), 0), embedding.output
        )
        np.testing.assert_allclose(found[token], expected, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(found[2], 0)


def test_more_room_for_units_changes_nothing():
    wide = BATCH.replace(
        units=np.pad(UNITS, ((0, 0), (0, 0), (0, 3)), constant_values=4),
        unit_mask=np.pad(MASK, ((0, 0), (0, 0), (0, 3))),
    )
    np.testing.assert_allclose(states(letters(), wide), states(letters(), BATCH), atol=1e-6)


def test_tokens_without_units_are_rows_of_the_table_which_is_all_that_is_scored():
    embedding = XRayEmbedding(5, 4, words=letters(), rngs=nnx.Rngs(0))
    found = states(embedding, BATCH)[0]
    table = np.asarray(embedding.tokens.table[...])
    np.testing.assert_allclose(found[:2], states(letters(), BATCH)[0, :2], atol=1e-6)
    np.testing.assert_array_equal(found[2], table[1])
    x = jnp.ones((2, 4))
    np.testing.assert_allclose(embedding.attend(x), np.ones((2, 4)) @ table.T, rtol=1e-5)
    with pytest.raises(ValueError, match="no units, and XRayEmbedding reads them"):
        embedding(BATCH.replace(units=None))
    with pytest.raises(ValueError, match="of width 4, and the table has width=3"):
        XRayEmbedding(5, 3, words=letters(), rngs=nnx.Rngs(0))


@functools.cache
def head():
    return make_random(
        lambda: LettersHead(
            4, unit_vocab_size=6, unit_dim=3, hidden_dim=2, num_layers=2, rngs=nnx.Rngs(1)
        )
    )


def test_letters_are_scored_from_the_vector_and_those_before():
    vectors = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    units = np.array([[3, 1, 4], [5, 2, 0]], np.int32)
    found = jax.jit(lambda head, *arrays: head(*arrays))(head(), vectors, units, units >= 0)
    start = np.asarray(head().start.kernel[...]), np.asarray(head().start.bias[...])
    for row in range(2):
        x = np.asarray(head().table[...])[units[row]]
        for index, layer in enumerate(head().layers):
            x = lstm(x, layer, 0, vectors[row] @ start[0][:, index] + start[1][index])
        expected = linear(np.tanh(linear(x, head().inner)), head().output)
        np.testing.assert_allclose(found[row], expected, rtol=0, atol=1e-5)


def test_words_are_spelled_letter_by_letter():
    vectors = jax.random.normal(jax.random.key(0), (3, 4))

    @jax.jit
    def run(head):
        units, mask = head.spell(vectors, begin=5, end=4, length=6)
        before = jnp.pad(units[:, :-1], ((0, 0), (1, 0)), constant_values=5)
        return units, mask, head(vectors, before, jnp.ones_like(mask))

    units, mask, scores = (np.asarray(x) for x in run(head()))
    np.testing.assert_array_equal(units, scores.argmax(axis=-1))
    for row in range(3):
        ends = np.flatnonzero(units[row] == 4)
        assert mask[row].sum() == (ends[0] if len(ends) else 6)


def test_units_of_pieces_are_joined_between_marks_and_cut():
    vocabulary = UnitVocabulary(kind="characters", num_characters=100)
    units, mask = join_units(jnp.asarray(UNITS), jnp.asarray(MASK), vocabulary, 9)
    assert np.asarray(units)[0][np.asarray(mask)[0]].tolist() == [102, 3, 1, 4, 2, 5, 103]
    units, mask = join_units(jnp.asarray(UNITS), jnp.asarray(MASK), vocabulary, 5)
    assert np.asarray(units)[0][np.asarray(mask)[0]].tolist() == [102, 3, 1, 4, 103]


def test_pieces_are_pooled():
    rows = np.array([[[1.0, 5.0], [3.0, 2.0], [9.0, 9.0]], [[1.0, 1.0]] * 3], np.float32)
    mask = np.array([[True, True, False], [False] * 3])
    for pool, expected in (("max", [3, 5]), ("mean", [2, 3.5]), ("first", [1, 5])):
        found = pool_pieces(jnp.asarray(rows), jnp.asarray(mask), pool)
        np.testing.assert_allclose(found, [expected, [0, 0]])


def make_objective(**options):
    words = Part(
        "CharacterLSTMEmbedding", width=4, unit_vocab_size=107, unit_dim=4, hidden_dim=4,
        num_layers=1,
    )  # fmt: skip
    embedding = Part("XRayEmbedding", vocab_size=9, width=4, words=words)
    model = build(ModelConfig(embedding=embedding), rngs=nnx.Rngs(0))
    model.embedding.tokens.table[...] *= 20
    own = LettersHead(
        4, unit_vocab_size=107, unit_dim=4, hidden_dim=8, num_layers=1, rngs=nnx.Rngs(1)
    )
    return WordMimicObjective(
        model, own, special_ids=(0, 1), num_characters=100, max_units=8, **options
    )


def test_letters_learn_the_vectors_of_their_pieces_and_to_be_spelled_again():
    objective = make_objective(mimic_weight=1.0, spelling_weight=1.0, cycle_weight=1.0)
    rng = np.random.default_rng(0)
    ids = np.array([[1, 2, 3, 1], [1, 4, 1, 0], [1, 5, 6, 1], [1, 1, 0, 0]], np.int32)
    units = rng.integers(60, 90, (9, 3))[ids].astype(np.int32)
    mask = np.broadcast_to(ids[..., None] > 1, units.shape)
    batch = TrainBatch(texts=(TextBatch(ids=ids, mask=ids > 0, units=units, unit_mask=mask),))
    graphdef, parameters, rest = nnx.split(objective, nnx.Param, ...)

    @jax.jit
    def run(parameters):
        def loss(parameters):
            terms = nnx.merge(graphdef, parameters, rest)(
                batch, step=jnp.asarray(0), rngs=nnx.Rngs(0)
            )
            return terms.total(), terms

        return jax.value_and_grad(loss, has_aux=True)(parameters)

    (_, first), slopes = run(parameters)
    assert first.terms["mimic"].ratio.denominator == 3 * 4  # The last row has no piece.
    assert first.terms["spelling"].ratio.denominator == 7 + 4 + 7
    for path, value in jax.tree_util.tree_leaves_with_path(slopes):
        reached = "tokens" not in jax.tree_util.keystr(path)
        assert np.isfinite(value).all() and np.any(np.asarray(value)) == reached, path
    for _ in range(150):
        _, slopes = run(parameters)
        parameters = jax.tree.map(lambda p, g: p - 0.1 * jnp.clip(g, -1, 1), parameters, slopes)
    (_, last), _ = run(parameters)
    for name in ("mimic", "spelling", "cycle"):
        values = [float(terms.terms[name].ratio.value()) for terms in (first, last)]
        assert values[1] < 0.8 * values[0], name


def test_what_does_not_fit_is_explained():
    with pytest.raises(ConfigError, match="pool='sum' is unknown"):
        make_objective(pool="sum")
    plain = build(
        ModelConfig(embedding=Part("SubwordEmbedding", vocab_size=9, width=4)), rngs=nnx.Rngs(0)
    )
    with pytest.raises(ConfigError, match="the model has a SubwordEmbedding"):
        WordMimicObjective(plain, head(), special_ids=())
    with pytest.raises(ValueError, match="hidden_dim=0"):
        CharacterLSTMEmbedding(4, unit_vocab_size=6, hidden_dim=0, rngs=nnx.Rngs(0))
