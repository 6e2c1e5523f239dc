"""Families with heads of pretraining, their labels, and our losses for them. No torch here."""

import jax.numpy as jnp
import numpy as np
from tiny_families import CASES, VOCAB, make_batch

from textzoo.checkpoints.pretraining_heads import (
    read_masked_language_head,
    read_replaced_token_head,
)
from textzoo.checkpoints.transformers_layout import read_transformers
from textzoo.modules import TextBatch
from textzoo.trainers.losses.token_cross_entropy import binary_cross_entropy, token_cross_entropy
from textzoo.trainers.objectives.selectors import gather_slots

MASKED = {
    "bert": "BertForMaskedLM",
    "bert_tanh": "BertForMaskedLM",
    "roberta": "RobertaForMaskedLM",
    "xlm_roberta": "XLMRobertaForMaskedLM",
    "distilbert": "DistilBertForMaskedLM",
    "electra": "ElectraForMaskedLM",
    "albert": "AlbertForMaskedLM",
    "mpnet": "MPNetForMaskedLM",
    "modernbert": "ModernBertForMaskedLM",
    "rembert": "RemBertForMaskedLM",
}
"""Case and class of transformers."""
REPLACED = {"electra": "ElectraForPreTraining", "electra_wide": "ElectraForPreTraining"}
GOLDEN = {
    "bert_masked_language": ("bert", "BertForMaskedLM"),
    "rembert_masked_language": ("rembert", "RemBertForMaskedLM"),
    "electra_replaced_token": ("electra", "ElectraForPreTraining"),
}
"""Files in ``tests/golden``, made by ``make_pretraining_heads.py``."""

assert {*MASKED, *REPLACED} <= set(CASES)


def masked_labels(name, seed=1):
    """Ids, mask, and labels at some real tokens of each row, -100 elsewhere."""
    ids, mask = make_batch(name)
    rng = np.random.default_rng(seed)
    chosen = mask & (rng.random(mask.shape) < 0.3)
    return ids, mask, np.where(chosen, rng.integers(0, VOCAB, ids.shape), -100)


def replaced_labels(name, seed=1):
    """Ids, mask, and 1 where a token is said to be replaced."""
    ids, mask = make_batch(name)
    return ids, mask, (np.random.default_rng(seed).random(mask.shape) < 0.2).astype(np.int64)


def our_masked_loss(directory, ids, mask, labels) -> float:
    """The loss of a directory of transformers, from states gathered at the labels."""
    states, embedding = _states(directory, ids, mask)
    head = read_masked_language_head(directory)
    count = int((labels >= 0).sum(axis=1).max())
    slots = np.argsort(labels < 0, axis=1, kind="stable")[:, :count]
    targets = np.take_along_axis(labels, slots, axis=1)
    logits = head(gather_slots(states, jnp.asarray(slots)), embedding)
    weights = jnp.asarray(targets >= 0, jnp.float32)
    targets = jnp.maximum(jnp.asarray(targets), 0)
    return float(token_cross_entropy(logits, targets, weights)[0].value())


def our_replaced_loss(directory, ids, mask, labels) -> float:
    states, _ = _states(directory, ids, mask)
    head = read_replaced_token_head(directory)
    return float(
        binary_cross_entropy(head(states), jnp.asarray(labels == 1), jnp.asarray(mask)).value()
    )


def _states(directory, ids, mask):
    model = read_transformers(directory).model
    return model(TextBatch(ids=ids, mask=mask)).hidden.states, model.embedding
