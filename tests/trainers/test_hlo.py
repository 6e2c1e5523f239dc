"""Program text written by hand: shapes, instructions, loops, traffic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textzoo.trainers.hlo import Buffer, parse_instruction, parse_program, parse_shape
from textzoo.trainers.hlo_work import Window, custom_calls, matrix_flops, memory_traffic

LOOP = """
HloModule jit_step, is_scheduled=true

%body (s: (s32[], f32[4,4])) -> (s32[], f32[4,4]) {
  %s = (s32[]{:T(128)}, f32[4,4]{1,0}) parameter(0)
  %i = s32[]{:T(128)} get-tuple-element(%s), index=0
  %x = f32[4,4]{1,0} get-tuple-element(%s), index=1
  %by = s32[] constant(STEP)
  %next = s32[]{:T(128)} add(%i, %by)
  %y = f32[4,4]{1,0} dot(%x, %x), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  ROOT %t = (s32[]{:T(128)}, f32[4,4]{1,0}) tuple(%next, %y)
}

%condition (c: (s32[], f32[4,4])) -> pred[] {
  %c = (s32[]{:T(128)}, f32[4,4]{1,0}) parameter(0)
  %n = s32[]{:T(128)} get-tuple-element(%c), index=0
  %limit = s32[] constant(LIMIT)
  ROOT %go = pred[] compare(%n, %limit), direction=DIRECTION
}

ENTRY %main (p: f32[4,4]) -> f32[4,4] {
  %p = f32[4,4]{1,0} parameter(0)
  %zero = s32[] constant(START)
  %start = s32[] copy(%zero)
  %state = (s32[], f32[4,4]{1,0}) tuple(%start, %p)
  %loop = (s32[], f32[4,4]{1,0}) while(%state), condition=%condition, body=%body
  ROOT %out = f32[4,4]{1,0} get-tuple-element(%loop), index=1
}
"""


def loop(*, start=0, limit=7, step=1, direction="LT"):
    values = {"START": start, "LIMIT": limit, "STEP": step, "DIRECTION": direction}
    text = LOOP
    for name, value in values.items():
        text = text.replace(name, str(value))
    return parse_program(text)


@pytest.mark.parametrize(
    ("shape", "buffers", "size"),
    [
        ("f32[8,4]{1,0:T(8,128)}", (Buffer("f32", (8, 4)),), 128),
        ("bf16[3]{0:T(8,128)(2,1)S(1)}", (Buffer("bf16", (3,), 1),), 6),
        ("s32[]", (Buffer("s32", ()),), 4),
        ("pred[10]", (Buffer("pred", (10,)),), 10),
        ("s4[5]{0}", (Buffer("s4", (5,)),), 3),
        ("f8e4m3fn[16]", (Buffer("f8e4m3fn", (16,)),), 16),
        ("((f32[2]), /*1*/u32[4]{0:S(6)})", (Buffer("f32", (2,)), Buffer("u32", (4,), 6)), 24),
    ],
)  # fmt: skip
def test_shapes_are_read(shape, buffers, size):
    assert parse_shape(shape) == buffers
    assert sum(buffer.num_bytes() for buffer in buffers) == size


def test_an_instruction_of_a_tuple_is_read():
    found = parse_instruction(
        "  ROOT %all-reduce.2 = (f32[2]{0:T(128)(2,1)}, s32[]) all-reduce(%a.1, %b), "
        'channel_id=3, metadata={op_name="jit(step)/sum" stack_frame_id=1}'
    )
    assert (found.name, found.opcode) == ("all-reduce.2", "all-reduce")
    assert found.operands == ("a.1", "b")
    assert found.shape == "(f32[2]{0:T(128)(2,1)}, s32[])"
    assert found.origin() == "jit(step)/sum"
    assert parse_instruction("  // a remark") is None


@pytest.mark.parametrize(
    ("options", "turns"),
    [
        ({}, 7),
        ({"start": 2, "limit": 9}, 7),
        ({"limit": 7, "step": 2}, 4),  # 0, 2, 4, 6
        ({"limit": 7, "direction": "LE"}, 8),
        ({"start": 6, "limit": 0, "step": -1, "direction": "GT"}, 6),
        ({"start": 6, "limit": 0, "step": -1, "direction": "GE"}, 7),
        ({"limit": 5, "direction": "NE"}, 5),
        ({"start": 3, "limit": 3}, 0),
    ],
)
def test_the_length_of_a_loop_is_read_from_its_counter(options, turns):
    program = loop(**options)
    assert program.runs["body"] == turns
    assert matrix_flops(program) == turns * 2 * 4**3
    assert program.loops_of_unknown_length() == []


def test_what_the_compiler_says_of_a_loop_comes_first():
    text = LOOP.replace("body=%body", 'body=%body, backend_config={"known_trip_count":{"n":"12"}}')
    assert parse_program(text).runs["body"] == 12


def test_a_loop_whose_length_cannot_be_read_counts_once():
    text = LOOP.replace("constant(LIMIT)", "negate(%n)").replace("DIRECTION", "LT")
    program = parse_program(text)
    assert program.runs["body"] == 1
    assert program.loops_of_unknown_length() == ["loop"]


def test_the_operator_of_a_reduction_does_not_run_by_itself():
    program = parse_program(
        """
%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %c = f32[] add(%a, %b)
}

ENTRY %main (p: f32[8]) -> f32[] {
  %p = f32[8]{0} parameter(0)
  %z = f32[] constant(0)
  ROOT %r = f32[] reduce(%p, %z), dimensions={0}, to_apply=%add
}
"""
    )
    assert program.runs == {"add": 0, "main": 1}


def test_text_that_is_no_program_is_refused():
    with pytest.raises(ValueError, match=r"give compiled.as_text\(\)"):
        parse_program("%x = f32[] parameter(0)")


def naive_products(window, inputs, outputs):
    found = 0
    for output in range(outputs):
        for element in range(window.size):
            place = output * window.stride - window.low + element * window.kernel_dilation
            hole, within = place % window.input_dilation, (inputs - 1) * window.input_dilation
            found += hole == 0 and 0 <= place <= within
    return found


@given(
    window=st.builds(
        Window, size=st.integers(1, 9), stride=st.integers(1, 9), low=st.integers(-4, 9),
        input_dilation=st.integers(1, 9), kernel_dilation=st.integers(1, 4),
    ),
    inputs=st.integers(1, 12), outputs=st.integers(1, 12),
)  # fmt: skip
def test_products_of_a_window_are_those_of_trying_all(window, inputs, outputs):
    assert window.products(inputs, outputs) == naive_products(window, inputs, outputs)


def test_a_batched_product_written_as_a_convolution_meets_each_matrix_once():
    # [64, 12] matrices of [32, 16] times [16, 32], as the TPU compiler writes them.
    program = parse_program(
        """
ENTRY %main (a: bf16[64,12,32,16], b: bf16[64,12,16,32]) -> f32[64,12,32,32] {
  %a = bf16[64,12,32,16]{3,2,1,0} parameter(0)
  %b = bf16[64,12,16,32]{3,2,1,0} parameter(1)
  ROOT %c = f32[64,12,32,32]{3,2,1,0} convolution(%a, %b), window={size=64x12 stride=63x11 """
        """lhs_dilate=64x12}, dim_labels=01bf_01io->01bf
}
"""
    )
    assert matrix_flops(program) == 2 * 64 * 12 * 32 * 16 * 32


FUSED = """
%inside (x: f32[50,256], i: s32[], y: f32[50,256]) -> f32[50,256] {
  %x = f32[50,256]{1,0} parameter(0)
  %i = s32[] parameter(1)
  %y = f32[50,256]{1,0} parameter(2)
  %zero = s32[] constant(0)
  %row = f32[1,256]{1,0} dynamic-slice(%x, %i, %zero), dynamic_slice_sizes={1,256}
  ROOT %put = f32[50,256]{1,0} dynamic-update-slice(%y, %row, %i, %zero)
}

ENTRY %main (p: f32[50,256], n: s32[], q: f32[50,256]) -> f32[50,256] {
  %p = f32[50,256]{1,0} parameter(0)
  %n = s32[]{:S(6)} parameter(1)
  %q = f32[50,256]{1,0} parameter(2)
  ROOT %f = f32[50,256]{1,0SPACE} fusion(%p, %n, %q), kind=kLoop, calls=%inside
}
"""


def test_a_fusion_that_moves_a_row_moves_a_row():
    # Read one row of 1024 bytes, write one; the number is in another memory.
    assert memory_traffic(parse_program(FUSED.replace("SPACE", ""))) == 2 * 1024


def test_what_stays_on_the_chip_is_no_traffic():
    assert memory_traffic(parse_program(FUSED.replace("SPACE", ":S(1)"))) == 1024


def test_an_asynchronous_copy_is_read_at_its_start_and_written_at_its_end():
    program = parse_program(
        """
ENTRY %main (p: f32[256]) -> f32[256] {
  %p = f32[256]{0} parameter(0)
  %s = (f32[256]{0:S(1)}, f32[256]{0}, u32[]{:S(2)}) copy-start(%p)
  %d = f32[256]{0:S(1)} copy-done(%s)
  ROOT %k = f32[256]{0} custom-call(%d), custom_call_target="Kernel"
}
"""
    )
    assert memory_traffic(program) == 1024 + 1024
    assert custom_calls(program) == {"Kernel": 1}
