"""NextLevelBERT: states, guesses and losses of the reference, and what the objective hides."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from tiny_families import make_random, write_golden

from textzoo import ModelConfig, Part, build
from textzoo.checkpoints.transformers_layout import read_transformers
from textzoo.errors import ConfigError
from textzoo.modules import Hidden, NextLevelEncoder, TextBatch
from textzoo.trainers import NextLevelObjective, TrainBatch
from textzoo.trainers.losses.masked_vectors import DISTANCES, masked_vectors

GOLDEN = np.load(Path(__file__).parents[2] / "golden" / "next_level.npz")
WIDTH, VOCAB = 8, 30


@pytest.fixture(scope="module")
def transformer(tmp_path_factory):
    """The encoder of the golden BERT."""
    directory = tmp_path_factory.mktemp("bert")
    write_golden("bert", directory)
    return read_transformers(directory).model.encoder


@pytest.fixture(scope="module")
def encoder(transformer):
    encoder = NextLevelEncoder(transformer, 32, rngs=nnx.Rngs(0))
    encoder.special.set_value(jnp.asarray(GOLDEN["special"]))
    return encoder


@functools.cache
def compiled(encoder, **options):
    graphdef, state = nnx.split(encoder)
    run = jax.jit(lambda state, hidden: nnx.merge(graphdef, state)(hidden, **options))
    return functools.partial(run, state)


def make_chunks(**fields):
    """What stands under padding is not zero."""
    states = np.where(GOLDEN["mask"][..., None], GOLDEN["chunks"], 3)
    return Hidden(states=jnp.asarray(states), mask=jnp.asarray(GOLDEN["mask"]), **fields)


def test_states_of_chunks_equal_the_reference(encoder):
    out = compiled(encoder, return_layers=True)(make_chunks())
    states = np.where(GOLDEN["mask"][..., None], out.states, 0)
    np.testing.assert_allclose(states, GOLDEN["states"], rtol=0, atol=2e-5)
    assert out.mask.shape == (3, 5) and out.layers[-1].shape == (3, 5, 32)


def test_guesses_and_losses_equal_the_reference(encoder):
    objective = nnx.eval_shape(
        lambda: NextLevelObjective(make_model(width=32), width=32, hidden_dim=6, rngs=nnx.Rngs(0))
    )
    objective.model.encoder.top_encoder = encoder
    objective.mask_vector.set_value(jnp.asarray(GOLDEN["mask_vector"]))
    for part, name in ((objective.up, "up"), (objective.down, "down")):
        part.kernel.set_value(jnp.asarray(GOLDEN[name].T))
        part.bias.set_value(jnp.asarray(GOLDEN[f"{name}_bias"]))
    hidden = jnp.asarray(GOLDEN["hidden"])
    guesses = jax.jit(lambda chunks: objective.guess(chunks, hidden))(make_chunks())
    found = np.where(hidden[..., None], guesses, 0)
    np.testing.assert_allclose(found, GOLDEN["guesses"], rtol=1e-5, atol=1e-4)
    for distance in DISTANCES:
        loss = masked_vectors(
            jnp.asarray(GOLDEN["guesses"]), jnp.asarray(GOLDEN["chunks"]),
            hidden.astype(jnp.float32), distance=distance,
        )  # fmt: skip
        np.testing.assert_allclose(loss.value(), GOLDEN[f"loss/{distance}"], rtol=1e-5)


def test_rows_without_a_hidden_vector_and_filler_rows_do_not_count():
    predictions = jnp.asarray([[[1.0, 3]], [[5, 5]], [[jnp.nan, 5]]])
    targets = jnp.zeros((3, 1, 2))
    weights = jnp.asarray([[1.0], [0], [1]])
    loss = masked_vectors(
        predictions, targets, weights, distance="l1", row_mask=jnp.asarray([1, 1, 0])
    )
    np.testing.assert_array_equal(loss.value(), 2)
    smooth = masked_vectors(predictions[:1], targets[:1], weights[:1])
    # Errors of 1 and 3: 1/2 and 5/2.
    np.testing.assert_array_equal(smooth.value(), 1.5)
    slope = jax.grad(lambda t: masked_vectors(predictions[:1], t, weights[:1]).value())
    np.testing.assert_array_equal(slope(targets[:1]), 0)
    with pytest.raises(ConfigError, match="distance='l3'"):
        masked_vectors(predictions, targets, weights, distance="l3")


def make_model(width=WIDTH, **options):
    inner = Part(
        "TransformerEncoder", width=width, num_layers=1, num_heads=2, hidden_dim=16, max_length=12
    )
    return build(
        ModelConfig(
            embedding=Part("SubwordEmbedding", vocab_size=VOCAB, width=width, scale=50.0),
            encoder=Part(
                "HierarchicalEncoder", window=3, segment_encoder=Part("IdentityEncoder"),
                top_encoder=Part("NextLevelEncoder", encoder=inner, width=width), **options,
            ),
        ),
        rngs=nnx.Rngs(0),
    )  # fmt: skip


def make_batch():
    ids = np.random.default_rng(0).integers(0, VOCAB, (4, 30)).astype(np.int32)
    mask = np.arange(30) < np.array([30, 14, 0, 30])[:, None]
    return TrainBatch(texts=(TextBatch(ids=ids, mask=mask),), row_mask=np.array([1, 1, 1, 0], bool))


@functools.cache
def _step(graphdef):
    def loss(state, batch, seed):
        objective = nnx.merge(graphdef, state)
        rngs = nnx.Rngs(objective=jax.random.key(seed), dropout=0)
        terms = objective(batch, step=jnp.asarray(0), rngs=rngs)
        return terms.total(), terms

    return jax.jit(jax.value_and_grad(loss, has_aux=True))


def run(objective, batch, seed=0):
    graphdef, state = nnx.split(objective)
    (loss, terms), gradients = _step(graphdef)(state, batch, seed)
    return float(loss), terms, nnx.merge(graphdef, gradients)


@functools.cache
def make_objective(**options):
    return make_random(
        lambda: NextLevelObjective(
            make_model(**options), width=WIDTH, hidden_dim=6, rngs=nnx.Rngs(1)
        )
    )


def test_a_share_of_the_chunks_is_hidden_and_filler_rows_do_not_count():
    loss, terms, gradients = run(make_objective(), make_batch())
    assert np.isfinite(loss) and loss > 0
    # 10 chunks and 5 chunks: 15 % are rounded to 2 and 1, of 25 in all rows.
    assert float(terms.metrics["mask_share"].numerator) == 3
    assert float(terms.metrics["mask_share"].denominator) == 25
    assert float(terms.terms["next_level"].ratio.denominator) == 2
    for leaf in jax.tree.leaves(nnx.state(gradients)):
        assert np.isfinite(leaf).all() and np.any(leaf)
    batch = make_batch()
    ids = batch.texts[0].ids.copy()
    ids[3] = 0
    other = batch.replace(texts=(batch.texts[0].replace(ids=ids),))
    np.testing.assert_allclose(run(make_objective(), other)[0], loss, rtol=1e-6)
    assert run(make_objective(), batch, seed=1)[0] != loss


def test_targets_and_frozen_segments_get_no_gradient():
    _, _, gradients = run(make_objective(freeze_segments=True), make_batch())
    assert not np.any(gradients.model.embedding.table)
    assert np.any(gradients.model.encoder.top_encoder.special)


def test_a_hidden_chunk_is_not_seen():
    objective = make_objective()
    states = np.random.default_rng(1).normal(size=(4, 10, WIDTH)).astype(np.float32)
    chunks = Hidden(states=jnp.asarray(states), mask=jnp.ones((4, 10), bool))
    hidden = jnp.zeros((4, 10), bool).at[0, 4].set(True)
    guess = jax.jit(lambda chunks: objective.guess(chunks, hidden))
    before = guess(chunks)
    after = guess(chunks.replace(states=chunks.states.at[0, 4, 0].add(1.0)))
    np.testing.assert_array_equal(after, before)
    seen = guess(chunks.replace(states=chunks.states.at[0, 5, 0].add(1.0)))
    assert np.abs(seen - before)[0, 4].max() > 1e-4


def test_bad_options_and_inputs_are_refused(encoder):
    plain = build(
        ModelConfig(embedding=Part("SubwordEmbedding", vocab_size=9, width=4)), rngs=nnx.Rngs(0)
    )
    with pytest.raises(ConfigError, match="IdentityEncoder.*build it with a HierarchicalEncoder"):
        NextLevelObjective(plain, width=4, rngs=nnx.Rngs(0))
    with pytest.raises(ConfigError, match="mask_rate=1; use a share between 0 and 1"):
        NextLevelObjective(make_objective().model, width=8, mask_rate=1, rngs=nnx.Rngs(0))
    with pytest.raises(ConfigError, match="distance='l3'"):
        NextLevelObjective(make_objective().model, width=8, distance="l3", rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="4 wide, the encoder 32; use width=4"):
        encoder(make_chunks().replace(states=jnp.ones((3, 5, 4))))
    with pytest.raises(ValueError, match="leave segment_ids and positions out"):
        encoder(make_chunks(segment_ids=jnp.ones((3, 5), jnp.int32)))
    with pytest.raises(ValueError, match="width=0; use 1 or more"):
        NextLevelEncoder(None, 0, rngs=nnx.Rngs(0))
