import importlib.util
from types import SimpleNamespace

import jax
import pytest

from textzoo.errors import ConfigError
from textzoo.trainers import topology
from textzoo.trainers.collectives import Collective
from textzoo.trainers.topology import Chip, Topology, find_topology, tpu_topology

V5E = next(chip for chip in topology._TPUS if chip.name == "v5e")
A100 = next(chip for chip in topology._GPUS if chip.name == "a100")


def torus(*sizes, chip=V5E):
    return Topology(name="test", devices=(), chip=chip, sizes=sizes)


def row(numbers, column=0):
    return [(number, column, 0) for number in numbers]


def test_the_figures_of_v5e_are_those_of_its_maker():
    assert V5E.flops_per_second == 197e12
    assert V5E.memory_bytes == 16 * 2**30
    assert V5E.memory_bandwidth == 819e9


@pytest.mark.parametrize("chip", [*topology._TPUS, *topology._GPUS])
def test_every_chip_has_a_peak(chip):
    assert chip.flops_per_second > 1e14


def test_a_chip_without_a_peak_is_an_error():
    chip = Chip(
        name="x", kind="Abacus", memory_bytes=1, memory_bandwidth=1.0, link_bandwidth=1.0,
        ring_multiple=0,
    )  # fmt: skip
    with pytest.raises(ConfigError, match="the peak of a 'Abacus' is not known"):
        _ = chip.flops_per_second


@pytest.mark.parametrize(
    ("places", "links"),
    [
        (row(range(16)), 2),  # a ring of 16
        (row(range(4)), 1),  # a part of it is a row
        (row(range(0, 16, 4)), 4 / 13),  # shares the links with three others
        ([(x, y, 0) for x in range(16) for y in range(16)], 4),  # both axes
        ([(x, y, 0) for x in range(16) for y in range(4)], 3),
    ],
)
def test_links_of_a_group(places, links):
    assert torus(16, 16).links(places) == pytest.approx(links)


def test_an_axis_of_four_is_no_ring_in_v5e():
    assert torus(4, 4).links(row(range(4))) == 1


def test_an_axis_of_four_is_a_ring_in_v5p():
    chip = next(chip for chip in topology._TPUS if chip.name == "v5p")
    assert torus(4, 4, 4, chip=chip).links(row(range(4))) == 2


def collective(kind, groups, size=1_000_000):
    return Collective(
        name="x", kind=kind, groups=groups, axes=("data",), buffer_bytes=size, times=2, origin=""
    )


def test_seconds_are_bytes_over_links():
    devices = [SimpleNamespace(coords=place) for place in row(range(4))]
    gather = collective("all-gather", ((0, 1, 2, 3),))
    # 2 times 3/4 of a megabyte, over one link of 45 GB/s.
    assert torus(4, 4).seconds(gather, devices) == pytest.approx(1.5e6 / 45e9)
    permute = collective("collective-permute", ((0, 1), (1, 2)))
    assert torus(4, 4).seconds(permute, devices) == pytest.approx(2e6 / 45e9)


def test_the_last_chip_of_a_ring_is_next_to_the_first():
    devices = [SimpleNamespace(coords=place) for place in row(range(16))]
    permute = collective("collective-permute", ((15, 0), (0, 1)))
    assert torus(16, 16).seconds(permute, devices) == pytest.approx(2e6 / 45e9)


def test_gpus_reach_each_other_through_a_switch():
    gather = collective("all-gather", ((0, 1),))
    assert torus(chip=A100).seconds(gather, []) == pytest.approx(1e6 / 300e9)


def test_seconds_of_an_unknown_chip_are_unknown():
    assert torus(chip=None).seconds(collective("all-gather", ((0, 1),)), []) is None


def test_without_a_name_the_devices_are_those_of_this_machine():
    found = find_topology(None)
    assert found.devices == tuple(jax.devices())
    assert found.name == "local"
    assert found.chip is None  # a processor


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("v5:4x4", "unknown generation 'v5'; did you mean 'v5"),
        ("4x4", "unknown generation '4x4'; known: v5e, v5p, v6e"),
        ("v5e", "no arrangement of chips; write it as v5e:4x4"),
        ("v5e:16", "no arrangement"),
    ],
)
def test_a_wrong_name_is_refused(name, message):
    with pytest.raises(ConfigError, match=message):
        tpu_topology(name)


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is not None, reason="libtpu is installed")
def test_without_libtpu_the_error_says_what_to_install():
    with pytest.raises(ImportError, match=r"pip install 'textzoo\[plan\]'"):
        tpu_topology("v5e:4x4")
