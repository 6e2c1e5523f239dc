"""Collectives in program text written by hand, in all the forms that XLA prints."""

import pytest

from textzoo.trainers.collectives import (
    axes_of_groups,
    device_groups,
    find_collectives,
    ring_bytes,
    sent_by,
)
from textzoo.trainers.hlo import parse_instruction, parse_program

MESH = {"data": 2, "model": 4}


def program(*lines, extra=""):
    body = "\n".join(f"  {line}" for line in lines)
    return parse_program(f"{extra}\nENTRY %main (p: f32[8,4]) -> f32[8,4] {{\n{body}\n}}\n")


def groups(text):
    return device_groups(parse_instruction(f"%x = f32[] all-reduce(%y), {text}"), 8)


@pytest.mark.parametrize(
    ("kind", "sent"),
    [
        ("all-gather", 75),
        ("reduce-scatter", 75),
        ("all-to-all", 75),
        ("all-reduce", 150),
        ("collective-permute", 100),
    ],
)
def test_ring_formulas(kind, sent):
    assert ring_bytes(kind, 100, 4) == sent
    assert ring_bytes(kind, 100, 1) == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("replica_groups={{0,1,2,3},{4,5,6,7}}, x={}", ((0, 1, 2, 3), (4, 5, 6, 7))),
        ("replica_groups={}, x={}", (tuple(range(8)),)),
        ("to_apply=%add", (tuple(range(8)),)),
        ("replica_groups=[2,4]<=[8], dimensions={0}", ((0, 1, 2, 3), (4, 5, 6, 7))),
        # [0 1 2 3; 4 5 6 7] turned over and cut into four rows
        ("replica_groups=[4,2]<=[2,4]T(1,0)", ((0, 4), (1, 5), (2, 6), (3, 7))),
        ("replica_groups=mesh['a'=2,'b'=4] {'a'}, x=1", ((0, 4), (1, 5), (2, 6), (3, 7))),
        ("replica_groups=mesh['a'=2,'b'=4] {'b'}, x=1", ((0, 1, 2, 3), (4, 5, 6, 7))),
        ("replica_groups=mesh['a'=2,'b'=4,'c'=1] {'a','b'}", (tuple(range(8)),)),
        # half of b: the first two and the last two of each row
        ("replica_groups=mesh['a'=2,'b'=4] {'b':(2)2}", ((0, 1), (2, 3), (4, 5), (6, 7))),
        ("replica_groups=mesh['a'=2,'b'=4] {'b':(1)2}", ((0, 2), (1, 3), (4, 6), (5, 7))),
        (
            "replica_groups=mesh['a'=4,'b'=2], device_ids=([2,4]T(1,0)) {'b'}",
            ((0, 4), (1, 5), (2, 6), (3, 7)),
        ),
    ],
)  # fmt: skip
def test_groups_are_read_in_every_notation(text, expected):
    assert groups(text) == expected


def test_an_unknown_notation_is_an_error():
    with pytest.raises(ValueError, match="groups of x are written in an unknown way: 'v9"):
        groups("replica_groups=v9[8]")


def test_a_permutation_to_itself_sends_nothing():
    text = "%x = f32[4] collective-permute(%y), source_target_pairs={{0,4},{1,1},{2,6}}"
    assert device_groups(parse_instruction(text), 8) == ((0, 4), (2, 6))


@pytest.mark.parametrize(
    ("chips", "axes"),
    [
        (((0, 1, 2, 3), (4, 5, 6, 7)), ("model",)),
        (((0, 4), (1, 5)), ("data",)),
        ((tuple(range(8)),), ("data", "model")),
        (((0,), (1,)), ()),
    ],
)
def test_axes_are_those_along_which_chips_differ(chips, axes):
    assert axes_of_groups(chips, MESH) == axes


def test_bytes_of_an_asynchronous_collective_are_those_of_its_operands():
    # The parts are 2 * 4 * 2 = 16 bytes, the whole 64; a chip sends 3 parts.
    found = find_collectives(
        program(
            "%p = bf16[2,4]{1,0} parameter(0)",
            "%s = (bf16[2,4]{1,0}, bf16[8,4]{1,0}) all-gather-start(%p), "
            "replica_groups=[2,4]<=[8], dimensions={0}",
            "ROOT %d = bf16[8,4]{1,0} all-gather-done(%s)",
        ),
        MESH,
    )
    assert [(c.kind, c.buffer_bytes, c.sent_bytes, c.axes) for c in found] == [
        ("all-gather", 64, 48, ("model",))
    ]


def test_arrays_that_are_reduced_together_are_added_up():
    found = find_collectives(
        program(
            "%p = f32[8,4]{1,0:T(8,128)} parameter(0)",
            "%q = s32[] constant(1)",
            "ROOT %r = (f32[8,4]{1,0}, s32[]) all-reduce(%p, %q), replica_groups={}, to_apply=%add",
        ),
        MESH,
    )
    assert [c.buffer_bytes for c in found] == [8 * 4 * 4 + 4]


def test_groups_of_one_chip_are_left_out():
    line = "ROOT %r = f32[8,4]{1,0} all-reduce(%p), replica_groups={{0},{1}}, to_apply=%add"
    assert find_collectives(program("%p = f32[8,4]{1,0} parameter(0)", line), MESH) == []


def test_an_all_reduce_of_which_each_chip_keeps_a_part_is_a_reduce_scatter():
    inside = """
%all-reduce-scatter.1 (x: f32[8,4]) -> f32[2,4] {
  %x = f32[8,4]{1,0} parameter(0)
  %all-reduce.1 = f32[8,4]{1,0} all-reduce(%x), replica_groups=[2,4]<=[8], to_apply=%add
  %i = u32[] partition-id()
  %zero = u32[] constant(0)
  ROOT %part = f32[2,4]{1,0} dynamic-slice(%all-reduce.1, %i, %zero), dynamic_slice_sizes={2,4}
}
"""
    found = find_collectives(
        program(
            "%p = f32[8,4]{1,0} parameter(0)",
            "ROOT %f = f32[2,4]{1,0} fusion(%p), kind=kCustom, calls=%all-reduce-scatter.1",
            extra=inside,
        ),
        MESH,
    )
    assert [(c.kind, c.sent_bytes) for c in found] == [("reduce-scatter", 128 * 3 // 4)]


def test_a_collective_spread_over_fusions_counts_once():
    def part(name, more):
        config = 'backend_config={"async_collective_fusion_config":{"flag_start":"-1"}}'
        return f"""
%{name} (x: f32[2,4]) -> f32[8,4] {{
  %{name}.x = f32[2,4]{{1,0}} parameter(0)
  %{name}.g = f32[8,4]{{1,0}} all-gather(%{name}.x), replica_groups=[2,4]<=[8], {config}
  ROOT %{name}.r = f32[8,4]{{1,0}} {more}
}}
"""

    start, done = (
        f'custom-call(%{name}.g), custom_call_target="AsyncCollective{target}"'
        for name, target in (("start", "Start"), ("done", "Done"))
    )
    inside = part("start", start) + part("beside", "copy(%beside.g)") + part("done", done)
    calls = (
        f"%{name}.f = f32[8,4]{{1,0}} fusion(%p), kind=kCustom, calls=%{name}"
        for name in ("start", "beside", "done")
    )
    found = find_collectives(program("%p = f32[2,4]{1,0} parameter(0)", *calls, extra=inside), MESH)
    assert [c.name for c in found] == ["start.g"]


def test_a_wrapped_collective_counts_at_its_start():
    inside = """
%wrapped (x: f32[8,4]) -> f32[2,4] {
  %x = f32[8,4]{1,0} parameter(0)
  ROOT %r = f32[2,4]{1,0} reduce-scatter(%x), replica_groups=[2,4]<=[8], dimensions={0}
}
"""
    found = find_collectives(
        program(
            "%p = f32[8,4]{1,0} parameter(0)",
            "%s = ((f32[8,4]{1,0}), f32[2,4]{1,0}) async-start(%p), calls=%wrapped",
            "%u = ((f32[8,4]{1,0}), f32[2,4]{1,0}) async-update(%s), calls=%wrapped",
            "ROOT %d = f32[2,4]{1,0} async-done(%u), calls=%wrapped",
            extra=inside,
        ),
        MESH,
    )
    assert [(c.kind, c.times, c.sent_bytes) for c in found] == [("reduce-scatter", 1, 96)]


def test_sums_by_field_are_in_descending_order():
    found = find_collectives(
        program(
            "%p = f32[8,4]{1,0} parameter(0)",
            "%a = f32[8,4]{1,0} all-reduce(%p), replica_groups=[2,4]<=[8], to_apply=%add",
            "%b = f32[8,4]{1,0} all-to-all(%a), replica_groups={}, dimensions={0}",
            "ROOT %c = f32[8,4]{1,0} all-reduce(%b), replica_groups={}, to_apply=%add",
        ),
        MESH,
    )
    # 128 bytes: 2 * 128 * 3 / 4 = 192 along model, 2 * 128 * 7 / 8 = 224 and 112 along both.
    assert list(sent_by(found, "kind", "axes").items()) == [
        (("all-reduce", "data+model"), 224),
        (("all-reduce", "model"), 192),
        (("all-to-all", "data+model"), 112),
    ]
    assert sent_by(found, "kind") == {("all-reduce",): 416, ("all-to-all",): 112}
