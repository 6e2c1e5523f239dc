import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import PartitionSpec as P

from textzoo import ModelConfig, Part
from textzoo.checkpoints.weights import abstract_model
from textzoo.modules.types import TextBatch
from textzoo.registry import get_config
from textzoo.trainers.flops import (
    compiled_flops,
    count_flops,
    measured_flops_per_second,
    published_flops_per_second,
    total_flops_per_second,
    transformer_flops,
    utilization,
)

BERT = {"width": 768, "num_layers": 12, "hidden_dim": 3072}


def forward_flops(config, rows, length):
    graphdef, state = nnx.split(abstract_model(config))
    batch = TextBatch(ids=np.zeros((rows, length), np.int32), mask=np.ones((rows, length), bool))
    return count_flops(lambda state, batch: nnx.merge(graphdef, state)(batch), state, batch)


def test_bert_base_needs_22_billion_operations_for_128_tokens():
    # A token and layer: 8 * 768^2 = 4,718,592 for the projections, 4 * 768 * 3072 = 9,437,184 for
    # the feed-forward block, 4 * 128 * 768 = 393,216 for attention; times 128 * 12 = 1,536:
    counted = transformer_flops(rows=1, length=128, **BERT)
    assert counted.projections == 7_247_757_312
    assert counted.feed_forward == 14_495_514_624
    assert counted.attention == 603_979_776
    # Published: 22.5 billion (TinyBERT, Jiao et al. 2020, table 1).
    assert counted.total() == pytest.approx(22.5e9, rel=0.01)


def test_tracing_the_model_counts_what_the_formula_says():
    config = get_config("bert_base_uncased")
    expected = transformer_flops(rows=2, length=128, **BERT).total()
    assert forward_flops(config, 2, 128) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("rows", [1, 6])
def test_gated_layers_and_heads_are_counted(gated, rows):
    config = ModelConfig(
        embedding=Part("SubwordEmbedding", vocab_size=50, width=16),
        encoder=Part(
            "TransformerEncoder", width=16, num_layers=3, num_heads=2, hidden_dim=24, gated=gated
        ),
        pooling=Part("MeanPooling"),
        heads=(Part("Dense", in_features=16, out_features=10),),
    )
    layers = transformer_flops(
        rows=rows, length=7, width=16, num_layers=3, hidden_dim=24, gated=gated
    ).total()
    # A mean is no matrix product.
    rest = rows * 2 * 16 * 10
    assert forward_flops(config, rows, 7) == layers + rest


def test_a_loop_counts_as_often_as_it_runs():
    def loop(x):
        return jax.lax.scan(lambda carry, _: (carry @ x, None), x, length=5)[0]

    assert count_flops(loop, jnp.zeros((4, 4))) == 5 * 2 * 4**3


def test_of_two_branches_the_dearer_counts():
    def branch(x):
        return jax.lax.cond(x.sum() > 0, lambda: x @ x @ x, lambda: x @ x)

    assert count_flops(branch, jnp.zeros((4, 4))) == 2 * 2 * 4**3


def test_calls_inside_calls_are_counted():
    def nested(x):
        return jax.jit(jax.checkpoint(lambda y: jax.vmap(jnp.dot)(y, y)))(x)

    # A batch of 3 dot products of 5 numbers.
    assert count_flops(nested, jnp.zeros((3, 5))) == 2 * 3 * 5


def test_a_gradient_has_two_more_products():
    def forward(w, x):
        return jnp.sum(jnp.tanh(x @ w) @ w)

    w, x = jnp.zeros((4, 4)), jnp.zeros((8, 4))
    once = count_flops(forward, w, x)
    # The gradient reaches both factors, except for the input of the first product: 2 * 2 - 1 more.
    assert count_flops(jax.grad(forward), w, x) == once / 2 * 5


@pytest.mark.parametrize("groups", [1, 2])
def test_convolutions_are_counted(groups):
    def convolve(x, kernel):
        return jax.lax.conv_general_dilated(
            x, kernel, (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC"),
            feature_group_count=groups,
        )  # fmt: skip

    # 2 rows x 10 places x 6 outputs, each from 3 places of 4 features (of 2 in its group).
    counted = count_flops(convolve, jnp.zeros((2, 10, 4)), jnp.zeros((3, 4 // groups, 6)))
    assert counted == 2 * 120 * 12 / groups


def test_work_of_all_devices_is_counted():
    mesh = jax.sharding.AbstractMesh((4,), ("data",))

    @jax.shard_map(mesh=mesh, in_specs=P("data"), out_specs=P("data"))
    def product(x):
        return x @ x.T @ x

    # Each of four devices has one row: 1 x 3 times 3 x 1, times 1 x 3.
    assert count_flops(product, jnp.zeros((4, 3))) == 4 * (2 * 3 + 2 * 3)


def test_xla_counts_the_same_product():
    x = jnp.zeros((32, 32))
    compiled = jax.jit(lambda x: x @ x).lower(x).compile()
    assert compiled_flops(compiled) == pytest.approx(2 * 32**3, rel=0.05)


@pytest.mark.parametrize(
    ("kind", "dtype", "peak"),
    [
        ("TPU v5 lite", "bfloat16", 197e12),
        ("TPU v5", "bfloat16", 459e12),
        ("TPU v5p", "bfloat16", 459e12),
        ("TPU v6 lite", "bfloat16", 918e12),
        ("TPU v4", "float32", 275e12),
        ("NVIDIA A100-SXM4-80GB", "bfloat16", 312e12),
        ("NVIDIA A100-SXM4-80GB", "float32", 156e12),
        ("NVIDIA H100 80GB HBM3", "bfloat16", 989.5e12),
        ("NVIDIA H100 PCIe", "bfloat16", 756e12),
        ("NVIDIA H200", "float16", 989.5e12),
        ("TPU v4", "float16", None),
        ("Radeon", "bfloat16", None),
    ],
)
def test_devices_have_the_peak_of_their_data_sheet(kind, dtype, peak):
    assert published_flops_per_second(kind, dtype) == peak


class Chip:
    platform, process_index = "tpu", 0

    def __init__(self, kind):
        self.device_kind = kind


def test_chips_add_up_and_one_unknown_chip_makes_the_sum_unknown():
    assert total_flops_per_second([Chip("TPU v4")] * 4, "bfloat16") == 4 * 275e12
    assert total_flops_per_second([Chip("TPU v4"), Chip("TPU v99")], "bfloat16") is None


def test_a_processor_is_measured_once_however_many_devices_it_poses_as():
    device = jax.devices("cpu")[0]
    one = measured_flops_per_second("float32", size=256)
    assert 1e8 < one < 1e14
    both = total_flops_per_second([device, device], "float32")
    assert both < 1e14


def test_utilization_is_the_share_of_the_possible():
    assert utilization(3 * 100.0, 2.0, 600.0) == 0.25
    assert np.isclose(utilization(197e12, 1.0, 197e12), 1.0)
