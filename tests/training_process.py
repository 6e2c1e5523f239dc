"""One process of a tiny training run, started by the tests of meshes, processes and kills.

    python training_process.py '{"devices": 8, "mesh": "fsdp=8", ...}' result.json

Several devices need a process of their own, because their number is fixed when JAX starts.
"""

import json
import sys
import time
from pathlib import Path


def set_up(options: dict) -> None:
    """What must be done before JAX starts."""
    import jax

    jax.config.update("jax_num_cpu_devices", options.get("devices", 1))
    jax.config.update("jax_platforms", "cpu")
    if options.get("cache"):
        jax.config.update("jax_compilation_cache_dir", options["cache"])
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    from textzoo.trainers.mesh import initialize_distributed

    if "port" in options:
        initialize_distributed(
            coordinator=f"localhost:{options['port']}", num_processes=options["processes"],
            process_id=options["process"],
        )  # fmt: skip


def make_objective(kind: str):
    from flax import nnx
    from tiny_training import VOCAB_SIZE, objective, tiny_model, word_tokenizer

    from textzoo.trainers.objectives.masked_language import (
        MaskedLanguageObjective,
        make_masked_language_head,
    )
    from textzoo.trainers.objectives.token_masking import Vocabulary

    model = tiny_model(layers=1, width=16)
    if kind == "contrastive":
        return objective(model)
    special = Vocabulary.of(word_tokenizer())
    vocabulary = Vocabulary(
        mask_id=special.mask_id, special_ids=special.special_ids, vocab_size=VOCAB_SIZE
    )
    head = make_masked_language_head(model, rngs=nnx.Rngs(1))
    return MaskedLanguageObjective(model, head, vocabulary=vocabulary)


def slow_down(seconds: float):
    """An evaluator that gives whoever wants to kill this process the time to do so."""

    def wait(model):
        time.sleep(seconds)
        return {}

    return wait


def main(options: dict, result: Path) -> None:
    """Trains, and writes losses, placements and a digest of the final state."""
    import jax
    from tiny_training import pair_data, training_config

    from textzoo.checkpoints.checksums import checksums
    from textzoo.trainers.holder import StateHolder
    from textzoo.trainers.mesh import MeshConfig
    from textzoo.trainers.trainer import Trainer

    trainer = Trainer(
        make_objective(options.get("kind", "contrastive")),
        training_config(
            options["steps"], mesh=MeshConfig.parse(options.get("mesh", "")),
            save_every=options.get("save_every"), evaluate_every=options.get("evaluate_every"),
        ),
        directory=options.get("directory"),
        evaluators=[slow_down(options["pause"])] if "pause" in options else (),
    )  # fmt: skip
    if options.get("mesh"):
        # In a mesh, small arrays travel as one, which so small a model would not do by itself.
        trainer.holder = StateHolder(trainer.step, trainer.abstract, worthwhile=1)
    data = pair_data(batch_size=16)
    losses = []
    if "directory" in options:
        outcome = trainer.fit(data)
        is_complete = outcome.is_complete
    else:
        stream = data.stream(
            process_index=jax.process_index(), process_count=jax.process_count()
        )  # fmt: skip
        for _ in range(options["steps"]):
            losses.append(float(trainer.update(next(stream).batch)["loss"]))
        stream.close()
        is_complete = True
    state = trainer.start()
    if jax.process_index():
        return
    placed = {
        name: {
            "spec": str(array.sharding.spec),
            "bytes": [shard.data.nbytes for shard in array.addressable_shards],
            "total": array.nbytes,
        }
        for name, array in {**state.params, "adam_mu": _moments(state)}.items()
    }
    leaves = {str(index): leaf for index, leaf in enumerate(jax.tree.leaves(state))}
    found = {
        "losses": losses, "placed": placed, "step": int(state.step), "is_complete": is_complete,
        "arrays_of_a_step": trainer.holder.num_arrays,
        "split": sum(not leaf.sharding.is_fully_replicated for leaf in leaves.values()),
    }  # fmt: skip
    if jax.process_count() == 1:
        found["checksums"] = {name: list(map(int, value)) for name, value in
                              checksums(leaves).items()}  # fmt: skip
        found["values"] = {
            name: jax.device_get(array).ravel()[:8].tolist() for name, array in state.params.items()
        }
    result.write_text(json.dumps(found))


def _moments(state):
    """Adam's first moment of the embedding table."""
    import jax

    paths = jax.tree_util.tree_flatten_with_path(state.optimizer)[0]
    return next(leaf for path, leaf in paths if "embedding.table" in jax.tree_util.keystr(path))


if __name__ == "__main__":
    options = json.loads(sys.argv[1])
    set_up(options)
    main(options, Path(sys.argv[2]))
