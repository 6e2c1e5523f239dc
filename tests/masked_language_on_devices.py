"""Run by a test in a process of its own: masking and its loss on 8 devices and on one."""

import json
import re

import jax

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from flax import nnx  # noqa: E402
from jax.sharding import AxisType, NamedSharding, PartitionSpec  # noqa: E402

from textzoo.modules import SubwordEmbedding, TextBatch  # noqa: E402
from textzoo.modules.heads import MaskedLanguageHead  # noqa: E402
from textzoo.trainers.batch import TrainBatch  # noqa: E402
from textzoo.trainers.losses.token_cross_entropy import blocked_token_cross_entropy  # noqa: E402
from textzoo.trainers.objectives.selectors import gather_slots  # noqa: E402
from textzoo.trainers.objectives.token_masking import (  # noqa: E402
    MaskingConfig,
    Vocabulary,
    mask_texts,
)

ROWS, LENGTH, VOCAB, WIDTH = 16, 24, 64, 8
VOCABULARY = Vocabulary(mask_id=4, special_ids=(0, 1, 2, 3), vocab_size=VOCAB)
COLLECTIVE = re.compile(r"\b(all-gather|all-to-all|collective-permute|all-reduce)(?:-start)?\(")


def make_batch():
    rng = np.random.default_rng(0)
    ids = rng.integers(5, VOCAB, (ROWS, LENGTH)).astype(np.int32)
    mask = np.arange(LENGTH) < rng.integers(3, LENGTH + 1, (ROWS, 1))
    words = np.cumsum(rng.random((ROWS, LENGTH)) < 0.6, axis=1).astype(np.int32)
    return TrainBatch(texts=(TextBatch(ids=ids, mask=mask),), word_ids=words)


def place(batch, mesh):
    return jax.device_put(batch, NamedSharding(mesh, PartitionSpec("data")))


def collectives(compiled):
    return sorted(set(COLLECTIVE.findall(compiled.as_text())))


def masking(report, mesh, batch):
    for unit in ("token", "word", "span", "n_gram"):
        config = MaskingConfig(unit=unit, rate=0.3)

        def run(key, batch, config=config):
            return mask_texts(key, batch, config, VOCABULARY, step=jnp.zeros((), jnp.int32))

        alone = jax.jit(run)(jax.random.key(0), batch)
        compiled = jax.jit(run).lower(jax.random.key(0), place(batch, mesh)).compile()
        shared = compiled(jax.random.key(0), place(batch, mesh))
        pairs = zip(jax.tree.leaves(alone), jax.tree.leaves(shared), strict=True)
        report["same"][unit] = all((np.asarray(a) == np.asarray(b)).all().item() for a, b in pairs)
        report["collectives"][unit] = collectives(compiled)


def losses(report, mesh, batch):
    embedding = SubwordEmbedding(VOCAB, WIDTH, rngs=nnx.Rngs(0))
    head = MaskedLanguageHead(WIDTH, VOCAB, rngs=nnx.Rngs(1))
    graphdef, state = nnx.split((embedding, head))
    states = jax.random.normal(jax.random.key(1), (ROWS, LENGTH, WIDTH))

    def loss(state, states, batch, block):
        embedding, head = nnx.merge(graphdef, state)
        masked = mask_texts(
            jax.random.key(0), batch, MaskingConfig(), VOCABULARY, step=jnp.zeros((), jnp.int32)
        )
        inner = head.transform(gather_slots(states, masked.selection.slots))
        return blocked_token_cross_entropy(
            lambda part: head.score(part, embedding), inner, masked.targets,
            masked.selection.weights, block=block,
        )[0].value()  # fmt: skip

    step = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)), static_argnums=3)

    def split(leaf):
        axes = ["model" if size == VOCAB else None for size in leaf.shape]
        return jax.device_put(leaf, NamedSharding(mesh, PartitionSpec(*axes)))

    rows = NamedSharding(mesh, PartitionSpec("data"))
    shared_state, shared_states = jax.tree.map(split, state), jax.device_put(states, rows)
    for block in (None, 3):
        alone = step(state, states, batch, block)
        compiled = step.lower(shared_state, shared_states, place(batch, mesh), block).compile()
        shared = compiled(shared_state, shared_states, place(batch, mesh))
        report["differences"][str(block)] = max(
            float(np.abs(np.asarray(a) - np.asarray(b)).max())
            for a, b in zip(jax.tree.leaves(alone), jax.tree.leaves(shared), strict=True)
        )
        report["collectives"][f"loss, block {block}"] = collectives(compiled)


def main():
    report = {"same": {}, "collectives": {}, "differences": {}}
    batch = make_batch()
    masking(report, jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,)), batch)
    mesh = jax.make_mesh((4, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
    losses(report, mesh, batch)
    print(json.dumps(report))  # noqa: T201


if __name__ == "__main__":
    main()
