"""Leaving words out while a classifier is trained, and only then."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from vector_batches import make_batch, make_model, rngs, training

from textzoo.errors import ConfigError
from textzoo.trainers.batch import PackedTexts
from textzoo.trainers.objectives.classification import ClassificationObjective

LABELS = ("bad", "good")


def make(word_dropout):
    model = make_model(layers=0)
    return ClassificationObjective(
        model, labels=LABELS, word_dropout=word_dropout, rngs=nnx.Rngs(0)
    )


def test_a_text_is_the_mean_of_the_words_that_are_left():
    objective, batch = make(0.5), make_batch(200, 1, labels=jnp.zeros(200, jnp.int32))
    table = np.asarray(objective.model.embedding.table[...])
    means = np.asarray(training(objective).vectors(batch, rngs())[0])
    whole = np.asarray(objective.vectors(batch, rngs())[0])
    ids, mask = np.asarray(batch.texts[0].ids), np.asarray(batch.texts[0].mask)
    dropped = 0
    for row in range(200):
        words = table[ids[row][mask[row]]]
        np.testing.assert_allclose(whole[row], words.mean(0), atol=1e-5)
        # Of up to five words, all but the first may be left out; one of these means it is.
        choices = [[0, *(i + 1 for i in range(len(words) - 1) if bits >> i & 1)]
                   for bits in range(2 ** (len(words) - 1))]  # fmt: skip
        near = [np.abs(words[choice].mean(0) - means[row]).max() < 1e-5 for choice in choices]
        assert any(near)
        dropped += not near[-1]
    assert 100 < dropped < 200


def test_packed_texts_and_rates_of_one_are_refused():
    batch = make_batch(2, 1)
    packed = PackedTexts(
        ids=batch.texts[0].ids, mask=batch.texts[0].mask, places=jnp.zeros((2, 1), jnp.int32)
    )
    with pytest.raises(ConfigError, match="use word_dropout=0, or data without PackedColumns"):
        make(0.5).vectors(batch.replace(texts=(packed,)), rngs())
    with pytest.raises(ConfigError, match=r"word_dropout=1\.0; use a share below 1"):
        make(1.0)
