"""Run by a test in a process of its own: slopes of encoders in a mesh of three axes and on one."""

import json

import jax

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)
# Slopes jump where a rectifier or a maximum ties; with float64, rounding does not decide which way.
jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from flax import nnx  # noqa: E402

from textzoo import ModelConfig, Part, build  # noqa: E402
from textzoo.modules import TextBatch  # noqa: E402
from textzoo.trainers import MeshConfig, make_mesh  # noqa: E402
from textzoo.trainers.sharding import batch_sharding, parameter_sharding  # noqa: E402

ENCODERS = {
    "recurrent": Part("RecurrentEncoder", width=16, cell="gru"),
    "convolution": Part("ConvolutionEncoder", width=16, num_layers=2, gated=True),
    "recursive": Part("RecursiveConvolution", width=16, num_layers=1, norm="none"),
}


def main():
    mesh = make_mesh(MeshConfig(data=2, fsdp=2, model=2))
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 32, (8, 16)).astype(np.int32)
    mask = np.arange(16) < rng.integers(1, 17, 8)[:, None]
    batch = TextBatch(ids=jnp.asarray(ids), mask=jnp.asarray(mask))
    report = {name: difference(encoder, batch, mesh) for name, encoder in ENCODERS.items()}
    print(json.dumps(report))  # noqa: T201


def difference(encoder, batch, mesh):
    """Largest of any slope or of the loss, relative to the largest number of its array."""
    config = ModelConfig(
        embedding=Part("SubwordEmbedding", vocab_size=32, width=16, scale=50.0),
        encoder=encoder, pooling=Part("MeanPooling"),
    )  # fmt: skip
    graphdef, state = nnx.split(build(config, rngs=nnx.Rngs(0)))
    state = jax.tree.map(lambda array: array.astype(jnp.float64), state)

    def loss(state, batch):
        vectors = nnx.merge(graphdef, state)(batch).vectors
        return (vectors * jnp.cos(jnp.arange(vectors.size)).reshape(vectors.shape)).sum()

    def place(variable):
        names = variable.get_metadata().get("out_sharding")
        target = parameter_sharding(mesh, names, variable.shape)
        return variable.replace(jax.device_put(variable[...], target))

    step = jax.value_and_grad(loss)
    expected = jax.jit(step)(state, batch)
    placed = jax.tree.map(place, state, is_leaf=lambda x: isinstance(x, nnx.Variable))
    with jax.set_mesh(mesh):
        found = jax.jit(step)(placed, jax.device_put(batch, batch_sharding(mesh)))
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    return max(
        float(np.abs(np.asarray(a) - np.asarray(b)).max() / np.abs(np.asarray(b)).max())
        for a, b in pairs
    )


if __name__ == "__main__":
    main()
