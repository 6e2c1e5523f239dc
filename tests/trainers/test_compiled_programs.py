"""What is read from programs that XLA compiled for a mesh of data=4 x model=2 processors."""

import subprocess
import sys

import pytest

from textzoo.trainers.collectives import find_collectives
from textzoo.trainers.hlo import parse_program
from textzoo.trainers.hlo_work import matrix_flops, memory_traffic

MESH = {"data": 4, "model": 2}
ALONG_DATA = ((0, 2, 4, 6), (1, 3, 5, 7))
ALONG_MODEL = ((0, 1), (2, 3), (4, 5), (6, 7))
PROGRAMS = """
import sys
import jax
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P

mesh = jax.make_mesh((4, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2)

def array(shape, *spec):
    return jax.ShapeDtypeStruct(shape, jnp.float32, sharding=NamedSharding(mesh, P(*spec)))

def manual(function, spec_in, spec_out):
    return jax.shard_map(function, mesh=mesh, in_specs=spec_in, out_specs=spec_out, check_vma=False)

def scan(w, x):
    return jax.lax.scan(lambda c, _: (jnp.tanh(c @ w @ w.T), None), x, None, length=5)[0]

def nested(w, x):
    def outer(c, _):
        return jax.lax.fori_loop(2, 9, lambda i, y: jnp.tanh(y @ w), c), None
    return jax.lax.scan(outer, x, None, length=3)[0]

def rows(table, x):
    return jax.lax.scan(lambda c, row: (c + row, None), x, table)[0]

def convolve(x, k):
    return jax.lax.conv_general_dilated(
        x, k, (2,), "SAME", rhs_dilation=(2,), dimension_numbers=("NWC", "WIO", "NWC"))

ring = [(i, (i + 1) % 4) for i in range(4)]
programs = {
    "contraction": (jnp.matmul, array((64, 32), "data", "model"), array((32, 16), "model")),
    "gathered": (lambda w, x: x @ w, array((32, 16), "data"), array((64, 32), "data")),
    "scan": (scan, array((32, 16), None, "model"), array((64, 32), "data")),
    "nested": (nested, array((16, 16)), array((64, 16), "data")),
    "scatter": (
        manual(lambda x: jax.lax.psum_scatter(x, "data", tiled=True), P(), P("data")),
        array((32, 16))),
    "permute": (
        manual(lambda x: jax.lax.ppermute(x, "data", ring), P("data"), P("data")),
        array((32, 16), "data")),
    "exchange": (
        manual(lambda x: jax.lax.all_to_all(x, "model", 0, 1, tiled=True), P("model"), P("model")),
        array((32, 16), "model")),
    "alone": (lambda x: x @ x, array((16, 16))),
    "batched": (lambda x, k: jnp.einsum("bij,bjk->bik", x, k), array((2, 7, 3)), array((2, 3, 5))),
    "convolution": (convolve, array((2, 11, 3)), array((3, 3, 5))),
    "endless": (
        lambda x: jax.lax.while_loop(lambda x: x.sum() < 100, lambda x: x @ x, x), array((8, 8))),
    "rows": (rows, array((50, 256)), array((256,))),
}
for name, (function, *arguments) in programs.items():
    with jax.set_mesh(mesh):
        text = jax.jit(function).lower(*arguments).compile().as_text()
    with open(f"{sys.argv[1]}/{name}.txt", "w") as file:
        file.write(text)
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    directory = tmp_path_factory.mktemp("programs")
    subprocess.run([sys.executable, "-c", PROGRAMS, str(directory)], check=True)
    return lambda name: parse_program((directory / f"{name}.txt").read_text())


def communication(program):
    return [
        (c.kind, c.groups, c.axes, c.times, c.sent_bytes) for c in find_collectives(program, MESH)
    ]


def test_a_contraction_over_a_split_axis_adds_up_over_it(compiled):
    # Of [64, 16] a device has 16 rows: S = 16 * 16 * 4 = 1024 bytes; 2 S (2 - 1) / 2 = 1024.
    expected = [("all-reduce", ALONG_MODEL, ("model",), 1, 1024)]
    assert communication(compiled("contraction")) == expected


def test_split_weights_are_gathered(compiled):
    # S = 32 * 16 * 4 = 2048 bytes; S (4 - 1) / 4 = 1536.
    assert communication(compiled("gathered")) == [("all-gather", ALONG_DATA, ("data",), 1, 1536)]


def test_what_is_sent_in_a_loop_counts_as_often_as_it_runs(compiled):
    # S = 16 rows * 32 * 4 = 2048 bytes; 5 times 2 S (2 - 1) / 2.
    expected = [("all-reduce", ALONG_MODEL, ("model",), 5, 5 * 2048)]
    assert communication(compiled("scan")) == expected


def test_a_reduce_scatter_sends_half_of_an_all_reduce(compiled):
    # S = 32 * 16 * 4 = 2048 bytes; S (4 - 1) / 4.
    expected = [("reduce-scatter", ALONG_DATA, ("data",), 1, 1536)]
    assert communication(compiled("scatter")) == expected


def test_a_permutation_sends_what_a_device_holds(compiled):
    [(kind, pairs, axes, times, sent)] = communication(compiled("permute"))
    # Devices are numbered row by row, so neighbors along data are two apart.
    assert sorted(pairs)[::2] == [(0, 2), (2, 4), (4, 6), (6, 0)]
    assert (kind, axes, times, sent) == ("collective-permute", ("data",), 1, 8 * 16 * 4)


def test_an_exchange_keeps_its_own_part(compiled):
    # A device holds 16 * 16 * 4 = 1024 bytes and keeps half of them.
    assert communication(compiled("exchange")) == [("all-to-all", ALONG_MODEL, ("model",), 1, 512)]


def test_a_program_of_whole_arrays_sends_nothing(compiled):
    assert communication(compiled("alone")) == []


@pytest.mark.parametrize(
    ("name", "flops"),
    [
        ("contraction", 2 * 16 * 16 * 16),  # of a device: 16 rows, half of the 32
        ("gathered", 2 * 16 * 32 * 16),
        ("scan", 5 * 2 * (2 * 16 * 32 * 8)),  # two products a turn, w split in two
        ("nested", 3 * 7 * (2 * 16 * 16 * 16)),
        ("batched", 2 * 2 * 7 * 3 * 5),
        # Kernel elements meet 5, 6 and 5 of the 6 outputs; the others lie in the padding.
        ("convolution", 2 * 2 * 3 * 5 * (5 + 6 + 5)),
        ("permute", 0),
    ],
)
def test_products_are_counted_with_loops(compiled, name, flops):
    assert matrix_flops(compiled(name)) == flops


def test_a_loop_of_unknown_length_counts_once_and_is_named(compiled):
    program = compiled("endless")
    assert matrix_flops(program) == 2 * 8**3
    assert len(program.loops_of_unknown_length()) == 1
    assert compiled("nested").loops_of_unknown_length() == []


def test_traffic_is_that_of_operands_and_results(compiled):
    # Operands of [2, 7, 3] and [2, 3, 5], and a result of [2, 7, 5] floats.
    assert memory_traffic(compiled("batched")) == 2 * (7 * 3 + 3 * 5 + 7 * 5) * 4


def test_of_an_array_that_a_loop_slices_the_slices_are_read(compiled):
    row, turns = 256 * 4, 50
    traffic = memory_traffic(compiled("rows"))
    # At least the table once and the sum read and written; reading the whole table in every turn
    # would be fifty times as much.
    assert 3 * row * turns <= traffic < 5 * row * turns
