"""Losses of textzoo by name, on a few vectors; tests/reference_losses.py has their references."""

import jax
import jax.numpy as jnp
import numpy as np

from textzoo.trainers.losses.angle import angle
from textzoo.trainers.losses.blocked_info_nce import blocked_info_nce
from textzoo.trainers.losses.contrast import DIRECTIONS, ContrastConfig
from textzoo.trainers.losses.cosent import cosent
from textzoo.trainers.losses.info_nce import info_nce
from textzoo.trainers.losses.orthogonality import orthogonal_regularization
from textzoo.trainers.losses.regression import cosine_regression
from textzoo.trainers.losses.score_distillation import listwise_kl, margin_mse
from textzoo.trainers.losses.softmax_nli import softmax_nli
from textzoo.trainers.losses.triplet import triplet
from textzoo.trainers.losses.vector_distillation import vector_distillation

ROWS, WIDTH, COLUMNS = 6, 8, 4


def make_inputs(seed=0):
    """Columns of vectors, labels and what teachers say, as numpy arrays."""
    rng = np.random.default_rng(seed)
    columns = rng.normal(size=(COLUMNS, ROWS, WIDTH))
    columns[1] += 0.7 * columns[0]
    arrays = {
        "columns": columns,
        "guide": rng.normal(size=(COLUMNS, ROWS, 5)),
        "scores": np.array([0.1, 0.9, 0.5, 0.5, 0.0, 1.0]),
        "teacher_scores": rng.normal(size=(ROWS, 3)),
        "teacher_vectors": rng.normal(size=(ROWS, WIDTH)),
        "kernel": rng.normal(size=(4, WIDTH, 3)),
        "bias": rng.normal(size=3),
    }
    arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
    return arrays | {"classes": np.array([0, 2, 1, 1, 0, 2])}


def contrastive(function=info_nce, temperature=0.05, guide=False, **options):
    config = ContrastConfig(**options)

    def loss(columns, inputs):
        vectors = jnp.moveaxis(jnp.array(inputs["guide"])[: len(columns)], 0, 1)
        extra = {"block": 4} if function is blocked_info_nce else {}
        return function(
            columns[0], jnp.stack(columns[1:], 1), temperature=temperature, config=config,
            guide=vectors if guide else None, **extra,
        ).value()  # fmt: skip

    return loss


def at_widths(loss, dims, weights):
    return lambda columns, inputs: sum(
        weight * loss([x[:, :dim] for x in columns], inputs)
        for dim, weight in zip(dims, weights, strict=True)
    )


def scored(loss):
    return lambda columns, inputs: loss(*columns, jnp.array(inputs["scores"])).value()


def classified(kinds):
    return lambda columns, inputs: softmax_nli(
        *columns, jnp.array(inputs["kernel"][:kinds]), jnp.array(inputs["bias"]),
        jnp.array(inputs["classes"]),
    ).value()  # fmt: skip


def with_scores(loss, **options):
    def value(columns, inputs):
        student = jnp.stack([(columns[0] * x).sum(1) for x in columns[1:]], 1)
        teacher = jnp.array(inputs["teacher_scores"])[:, : student.shape[1]]
        return loss(student, teacher, **options).value()

    return value


def to_teacher(metric):
    return lambda columns, inputs: vector_distillation(
        columns[0], jnp.array(inputs["teacher_vectors"])[:, : columns[0].shape[1]], metric=metric
    ).value()


def triplets(distance, margin):
    return lambda columns, inputs: triplet(
        columns[0], columns[1], columns[2][:, None], distance=distance, margin=margin
    ).value()


BOTH = ("query_to_document", "document_to_query")
SYMMETRIC = {"directions": BOTH, "normalization": "per_direction"}
GIST = {"temperature": 0.1, "guide": True}
SAME_QUERIES = ("query_to_document", "query_to_query")

# Name: number of columns, and the loss of columns and inputs.
CASES = {
    "mnrl": (4, contrastive()),
    "mnrl_symmetric": (2, contrastive(**SYMMETRIC)),
    "mnrl_symmetric_negatives": (3, contrastive(**SYMMETRIC)),
    "mnrl_joint": (3, contrastive(directions=BOTH)),
    "mnrl_gte": (2, contrastive(directions=DIRECTIONS)),
    "mnrl_gte_negatives": (4, contrastive(directions=DIRECTIONS)),
    "mnrl_hardness_in_batch": (
        3, contrastive(hardness="in_batch_negatives", hardness_strength=9.0),
    ),
    "mnrl_hardness_own": (3, contrastive(hardness="hard_negatives", hardness_strength=5.0)),
    "mnrl_hardness_all": (3, contrastive(hardness="all_negatives", hardness_strength=2.0)),
    "mnrl_cached": (3, contrastive(blocked_info_nce)),
    "mnrl_cached_symmetric": (2, contrastive(blocked_info_nce, **SYMMETRIC)),
    "gist": (
        2, contrastive(directions=(*SAME_QUERIES, "document_to_document"), **GIST),
    ),
    "gist_margin": (
        2, contrastive(
            directions=(*SAME_QUERIES, "document_to_document"), guide_margin=0.2, **GIST
        ),
    ),
    "gist_relative": (
        3, contrastive(
            directions=SAME_QUERIES, guide_margin=0.3, guide_margin_kind="relative", **GIST
        ),
    ),
    "orthogonality": (
        1, lambda columns, inputs: orthogonal_regularization(
            columns[0], mean_weight=1.0, second_moment_weight=2.0
        ).value(),
    ),
    "cosent": (2, scored(cosent)),
    "angle": (2, scored(angle)),
    "cosine_regression": (2, scored(cosine_regression)),
    "triplet_cosine": (3, triplets("cosine", 0.3)),
    "triplet_euclidean": (3, triplets("euclidean", 1.0)),
    "softmax": (2, classified(3)),
    "softmax_product": (2, classified(4)),
    "margin_mse": (4, with_scores(margin_mse)),
    "distill_kl": (
        4, with_scores(listwise_kl, student_temperature=2.0, teacher_temperature=0.5),
    ),
    "embed_cosine": (1, to_teacher("cosine")),
    "embed_mse": (1, to_teacher("mse")),
    "matryoshka_mnrl": (3, at_widths(contrastive(), (8, 4, 2), (1.0, 0.5, 0.25))),
    "matryoshka_cosent": (2, at_widths(scored(cosent), (8, 3), (1.0, 1.0))),
    "matryoshka_embed_cosine": (1, at_widths(to_teacher("cosine"), (8, 4), (1.0, 2.0))),
}  # fmt: skip


def compute(name, inputs):
    """Loss and gradient of every column, ``[columns, B, E]``."""
    count, loss = CASES[name]
    columns = list(jnp.array(inputs["columns"][:count]))
    value, gradients = jax.jit(jax.value_and_grad(lambda x: loss(x, inputs)))(columns)
    return float(value), np.stack(gradients)
