"""The objective of the Sub-Sentence Encoder."""

import jax.numpy as jnp
import numpy as np
import pytest
from vector_batches import WIDTH, make_batch, make_model, run

from textzoo import Part
from textzoo.errors import ConfigError
from textzoo.trainers.losses.supervised_contrastive import supervised_contrastive
from textzoo.trainers.objectives.matryoshka import MatryoshkaObjective
from textzoo.trainers.objectives.sub_sentence import SubSentenceObjective

HEADS = (
    Part("Dense", in_features=WIDTH, out_features=WIDTH, activation="relu"),
    Part("Dense", in_features=WIDTH, out_features=6),
)


def make_span_batch(rows=4, columns=2, *, spans=3, seed=0, **fields):
    batch = make_batch(rows, columns, seed=seed, **fields)
    rng = np.random.default_rng(seed + 1)
    texts, labels = [], []
    for text in batch.texts:
        mask = rng.random((rows, spans, 5)) < 0.5
        mask[:, :, 0] = True
        number = rng.integers(0, 4, (rows, spans))
        number[0, spans - 1] = -1
        mask[0, spans - 1] = False
        texts.append(text.replace(spans=jnp.asarray(mask)))
        labels.append(jnp.asarray(number, jnp.int32))
    return batch.replace(texts=tuple(texts), span_labels=tuple(labels))


def test_the_loss_is_that_of_all_spans_of_all_columns():
    model, batch = make_model(layers=0, heads=HEADS), make_span_batch()
    found = run(SubSentenceObjective(model, temperature=0.2), batch)
    table = np.asarray(model.embedding.table[...])
    weights = [
        (np.asarray(h.linear.kernel[...]), np.asarray(h.linear.bias[...])) for h in model.heads
    ]
    vectors, labels = [], []
    for text, of_text in zip(batch.texts, batch.span_labels, strict=True):
        mask = np.asarray(text.spans & text.mask[:, None])
        for row, span in np.ndindex(of_text.shape):
            if of_text[row, span] >= 0:
                pooled = table[np.asarray(text.ids[row])][mask[row, span]].mean(axis=0)
                inner = np.maximum(pooled @ weights[0][0] + weights[0][1], 0)
                vectors.append(inner @ weights[1][0] + weights[1][1])
                labels.append(int(of_text[row, span]))
    assert len(labels) == 22
    expected = supervised_contrastive(
        jnp.asarray(np.array(vectors)), jnp.asarray(labels), temperature=0.2
    )
    np.testing.assert_allclose(found.total(), expected.value(), rtol=1e-4)
    assert found.terms["sub_sentence"].ratio.denominator == expected.denominator
    assert set(found.metrics) == {"accuracy", "positive_similarity", "sibling_similarity"}


def test_rows_that_fill_the_batch_up_change_nothing():
    objective = SubSentenceObjective(make_model(layers=0, heads=HEADS))
    batch = make_span_batch(4)
    mask = jnp.asarray([True, True, True, False])
    short = batch.replace(
        texts=tuple(
            t.replace(ids=t.ids[:3], mask=t.mask[:3], spans=t.spans[:3]) for t in batch.texts
        ),
        span_labels=tuple(labels[:3] for labels in batch.span_labels),
        keys=None,
    )
    value, gradient = run(objective, batch.replace(row_mask=mask), gradient=True)
    plain, expected = run(objective, short, gradient=True)
    np.testing.assert_allclose(value, plain, rtol=1e-5)
    for name in expected:
        np.testing.assert_allclose(gradient[name], expected[name], rtol=1e-4, atol=1e-6)


def test_gradients_are_finite_where_a_batch_has_no_spans():
    batch = make_span_batch()
    empty = batch.replace(
        texts=tuple(t.replace(spans=jnp.zeros_like(t.spans)) for t in batch.texts),
        span_labels=tuple(jnp.full_like(labels, -1) for labels in batch.span_labels),
    )
    value, gradient = run(SubSentenceObjective(make_model(heads=HEADS)), empty, gradient=True)
    assert value == 0
    assert all(np.isfinite(array).all() for array in gradient.values())


@pytest.mark.parametrize("chunk_size", [2, 3])
def test_sentences_encoded_in_chunks_give_the_same_gradient(chunk_size):
    batch = make_span_batch()
    model = make_model(layers=0, heads=HEADS)
    value, gradient = run(SubSentenceObjective(model), batch, gradient=True)
    chunked = SubSentenceObjective(model, chunk_size=chunk_size)
    found, of_chunks = run(chunked, batch, gradient=True)
    np.testing.assert_allclose(found, value, rtol=1e-5)
    for name in gradient:
        np.testing.assert_allclose(of_chunks[name], gradient[name], rtol=1e-4, atol=1e-6)


def test_it_goes_with_matryoshka():
    objective = SubSentenceObjective(make_model(layers=0))
    batch = make_span_batch()
    found = run(MatryoshkaObjective(objective, dims=(4, WIDTH)), batch)
    assert found.total() > run(objective, batch).total()


def test_training_tells_siblings_apart():
    import optax
    from flax import nnx

    objective = SubSentenceObjective(make_model(layers=1, heads=HEADS), temperature=0.1)
    batch = make_span_batch(spans=2)
    # In every row, column by column: two spans, of which the first are the same and so the second.
    labels = jnp.asarray([[2 * row, 2 * row + 1] for row in range(4)], jnp.int32)
    mask = jnp.broadcast_to(jnp.eye(2, 5, dtype=bool), (4, 2, 5))
    texts = tuple(text.replace(spans=mask) for text in batch.texts)
    batch = batch.replace(texts=texts, span_labels=(labels, labels))
    optimizer = nnx.Optimizer(objective, optax.adam(0.02), wrt=nnx.Param)

    @nnx.jit
    def step(objective, optimizer):
        def total(objective):
            terms = objective(batch, step=jnp.zeros((), int), rngs=nnx.Rngs(0))
            return terms.total(), terms.metrics

        (value, metrics), gradient = nnx.value_and_grad(total, has_aux=True)(objective)
        optimizer.update(objective, gradient)
        return value, metrics

    first, before = step(objective, optimizer)
    for _ in range(60):
        last, after = step(objective, optimizer)
    assert last < 0.3 * first
    gain = after["positive_similarity"].value() - after["sibling_similarity"].value()
    assert gain > before["positive_similarity"].value() - before["sibling_similarity"].value() + 0.1
    assert after["accuracy"].value() == 1


def test_what_it_cannot_train_on_is_named():
    objective = SubSentenceObjective(make_model(layers=0))
    with pytest.raises(ConfigError, match="compares spans of texts, and the batch has none"):
        run(objective, make_batch())
    with pytest.raises(ConfigError, match="temperature=0"):
        SubSentenceObjective(make_model(layers=0), temperature=0)
