"""Run by a test in a process of its own: losses and encoding on 8 devices and on one."""

import json

import jax

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from flax import nnx  # noqa: E402
from jax.sharding import AxisType, NamedSharding, PartitionSpec  # noqa: E402
from vector_batches import make_batch, make_model, rngs  # noqa: E402

from textzoo.trainers.losses.blocked_info_nce import blocked_info_nce  # noqa: E402
from textzoo.trainers.losses.contrast import DIRECTIONS, ContrastConfig  # noqa: E402
from textzoo.trainers.losses.cosent import cosent  # noqa: E402
from textzoo.trainers.losses.info_nce import info_nce  # noqa: E402
from textzoo.trainers.losses.orthogonality import orthogonal_regularization  # noqa: E402
from textzoo.trainers.losses.supervised_contrastive import supervised_contrastive  # noqa: E402
from textzoo.trainers.losses.vector_distillation import relational_distillation  # noqa: E402
from textzoo.trainers.objectives.chunking import encode_chunked  # noqa: E402

ROWS, WIDTH = 32, 8
GTE = ContrastConfig(directions=DIRECTIONS)
SYMMETRIC = ContrastConfig(directions=DIRECTIONS[:2], normalization="per_direction")
LOSSES = {
    "info_nce": lambda q, d, k: info_nce(q, d, keys=k, config=GTE),
    "blocked": lambda q, d, k: blocked_info_nce(q, d, block=8, keys=k, config=GTE),
    "blocked_symmetric": lambda q, d, k: blocked_info_nce(q, d, block=8, config=SYMMETRIC),
    "blocked_not_dividing": lambda q, d, k: blocked_info_nce(q, d, block=9),
    "cosent": lambda q, d, k: cosent(q, d[:, 0], k[:, 0], temperature=0.5),
    "orthogonality": lambda q, d, k: orthogonal_regularization(q),
    # Four classes in both columns, as spans have labels.
    "classes": lambda q, d, k: supervised_contrastive(
        jnp.concatenate([q, d[:, 0]]), jnp.concatenate([k[:, 0], k[:, 1]]).astype(int) % 4
    ),
    "relations": lambda q, d, k: relational_distillation(q, d[:, 0], temperature=0.5),
}
REPLICATED = ("info_nce", "blocked")
"""Losses that are also tried with the documents whole on every device."""


def main():
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    split = NamedSharding(mesh, PartitionSpec("data"))
    whole = NamedSharding(mesh, PartitionSpec())
    rng = np.random.default_rng(0)
    queries = rng.normal(size=(ROWS, WIDTH)).astype(np.float32)
    documents = rng.normal(size=(ROWS, 2, WIDTH)).astype(np.float32)
    keys = rng.integers(0, 60, (ROWS, 3)).astype(np.uint32)
    report = {"differences": {}, "shares": {}}
    for name, loss in LOSSES.items():
        step = jax.value_and_grad(lambda q, d, k, f=loss: f(q, d, k).value(), (0, 1))
        alone = (queries, documents, keys)
        shared = {f"{name}, split": jax.device_put(alone, split)}
        if name in REPLICATED:
            shared[f"{name}, documents whole"] = jax.device_put(alone, (split, whole, split))
        compare(report, step, alone, shared)
    encoding(report, split, whole)
    print(json.dumps(report))  # noqa: T201


def encoding(report, split, whole):
    graph, params = nnx.split(make_model())
    texts = make_batch(ROWS, 1).texts[0]

    def total(params, texts):
        vectors = encode_chunked(nnx.merge(graph, params), texts, 8, rngs())
        return jnp.square(vectors).sum()

    alone = (params, texts)
    shared = {"encode_chunked": jax.device_put(alone, (whole, split))}
    compare(report, jax.value_and_grad(total), alone, shared)


def compare(report, step, alone, shared):
    """Differences of results, and the work of one of 8 devices as a share of that of one."""
    compiled = jax.jit(step).lower(*alone).compile()
    expected, work = compiled(*alone), compiled.cost_analysis()["flops"]
    for name, arguments in shared.items():
        compiled = jax.jit(step).lower(*arguments).compile()
        report["differences"][name] = difference(compiled(*arguments), expected)
        report["shares"][name] = compiled.cost_analysis()["flops"] / work


def difference(found, expected):
    """Largest of any array, relative to the length of that array."""
    norm = np.linalg.norm
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    return max(
        float(norm(np.asarray(a) - np.asarray(b)) / max(norm(np.asarray(b)), 1e-3))
        for a, b in pairs
    )


if __name__ == "__main__":
    main()
