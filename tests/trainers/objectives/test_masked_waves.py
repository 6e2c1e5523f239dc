"""A wave network that guesses hidden words is told nothing of them by the magnitude of a text."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from textzoo import ModelConfig, Part, build
from textzoo.modules.types import TextBatch
from textzoo.trainers.batch import TrainBatch
from textzoo.trainers.objectives.masked_language import (
    MaskedLanguageObjective,
    make_masked_language_head,
)
from textzoo.trainers.objectives.token_masking import MaskingConfig, Vocabulary, mask_texts

VOCABULARY = Vocabulary(mask_id=4, special_ids=(0, 1, 2, 3), vocab_size=60)
KEY = jax.random.key(5)
STEP = jnp.asarray(0)


def make_objective(operation: str, readout: str, masking: MaskingConfig) -> MaskedLanguageObjective:
    config = ModelConfig(
        embedding=Part("SubwordEmbedding", vocab_size=60, width=8, scale=50.0),
        encoder=Part(
            "WaveEncoder", width=8, num_layers=2, hidden_dim=8, use_residual=True,
            operation=operation, readout=readout,
        ),
    )  # fmt: skip
    model = build(config, rngs=nnx.Rngs(0))
    head = make_masked_language_head(model, rngs=nnx.Rngs(1))
    return MaskedLanguageObjective(model, head, vocabulary=VOCABULARY, masking=masking)


@nnx.jit
def scores(objective: MaskedLanguageObjective, ids: np.ndarray) -> tuple[jax.Array, jax.Array]:
    """Of every token, and which are selected."""
    batch = TrainBatch(texts=(TextBatch(ids=ids, mask=jnp.ones(ids.shape, bool)),))
    masked = mask_texts(KEY, batch, objective.masking, VOCABULARY, step=STEP)
    states = objective.model(masked.texts).hidden.states
    found = objective.head(states, objective.model.embedding)
    return found, masked.selection.selected


def two_texts(objective: MaskedLanguageObjective) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same but for the words that are selected."""
    ids = np.random.default_rng(0).integers(5, 60, (3, 12)).astype(np.int32)
    selected = np.asarray(scores(objective, ids)[1])
    others = np.where(selected, (ids - 5 + 17) % 55 + 5, ids).astype(np.int32)
    assert (ids != others).any(axis=1).all()
    return ids, others, selected


@pytest.mark.parametrize(
    ("operation", "readout"), [("interference", "linear"), ("modulation", "modulus")]
)
def test_texts_that_differ_in_hidden_words_alone_have_the_same_scores(operation, readout):
    objective = make_objective(
        operation, readout, MaskingConfig(rate=0.3, mask_share=1.0, random_share=0.0)
    )
    one, other, _ = two_texts(objective)
    np.testing.assert_array_equal(scores(objective, one)[0], scores(objective, other)[0])


def test_words_that_are_not_hidden_are_in_the_magnitude_of_all_others():
    objective = make_objective(
        "interference", "modulus", MaskingConfig(rate=0.3, mask_share=0.0, random_share=0.0)
    )
    one, other, selected = two_texts(objective)
    difference = np.abs(scores(objective, one)[0] - scores(objective, other)[0]).max(axis=-1)
    assert (difference[~selected] > 1e-6).all()
