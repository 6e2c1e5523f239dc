"""Tiny encoders with dropout and batches of random tokens, for tests of objectives on vectors."""

import jax.numpy as jnp
import numpy as np
from flax import nnx

from textzoo import ModelConfig, Part, build
from textzoo.modules.types import TextBatch
from textzoo.trainers.batch import TrainBatch

WIDTH = 8


def make_model(*, layers=1, dropout=0.0, heads=(), seed=0):
    """A transformer of a layer, or none (which compiles fast), and mean pooling; E = 8."""
    encoder = Part("IdentityEncoder")
    if layers:
        encoder = Part(
            "TransformerEncoder", width=WIDTH, num_layers=layers, num_heads=2, hidden_dim=16,
            max_length=16, dropout=dropout, attention_dropout=dropout,
        )  # fmt: skip
    config = ModelConfig(
        embedding=Part("SubwordEmbedding", vocab_size=50, width=WIDTH),
        encoder=encoder,
        pooling=Part("MeanPooling"),
        heads=heads,
    )
    model = build(config, rngs=nnx.Rngs(seed))
    # Initial values are small, which makes all texts alike.
    model.embedding.table[...] = 20 * model.embedding.table[...]
    return model


def make_batch(rows=6, columns=2, *, length=5, seed=0, **fields):
    """Columns of texts with two to ``length`` tokens, and keys that tell no duplicates."""
    rng = np.random.default_rng(seed)
    texts = []
    for _ in range(columns):
        lengths = rng.integers(2, length + 1, rows)
        mask = np.arange(length) < lengths[:, None]
        ids = np.where(mask, rng.integers(1, 50, (rows, length)), 0)
        texts.append(TextBatch(ids=jnp.asarray(ids, jnp.int32), mask=jnp.asarray(mask)))
    fields.setdefault("keys", jnp.arange(rows * columns, dtype=jnp.uint32).reshape(rows, columns))
    return TrainBatch(texts=tuple(texts), **fields)


def rngs(seed=0):
    return nnx.Rngs(dropout=seed, objective=seed + 1)


def training(objective):
    return nnx.view(objective, deterministic=False, raise_if_not_found=False)


def run(objective, batch, *, seed=0, gradient=False):
    """The terms of an objective, or its total and the gradient of every parameter, by path."""
    import jax

    graph, params, others = nnx.split(objective, nnx.Param, ...)

    def total(params):
        terms = nnx.merge(graph, params, others)(batch, step=jnp.zeros((), int), rngs=rngs(seed))
        return terms.total(), terms

    if not gradient:
        return jax.jit(total)(params)[1]
    (value, _), found = jax.jit(jax.value_and_grad(total, has_aux=True))(params)
    flat = {
        ".".join(map(str, path)): np.asarray(variable[...])
        for path, variable in nnx.to_flat_state(found)
    }
    return value, flat
