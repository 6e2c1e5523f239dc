import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textzoo.checkpoints.checksums import checksums

DTYPES = ["float32", "bfloat16", "float16", "float8_e4m3fn", "int32", "int16", "int8", "uint32",
          "bool", "complex64"]  # fmt: skip


def checksum(array) -> tuple[int, int]:
    return checksums({"array": array})["array"]


def reference(words) -> tuple[int, int]:
    """The sums of the module's header, one word after another, in Python."""
    first = second = 0
    for index, word in enumerate(words):
        first += word
        value = word ^ (0x9E3779B1 * (index + 1)) % 2**32
        value ^= value >> 16
        value = value * 0x85EBCA6B % 2**32
        value ^= value >> 13
        value = value * 0xC2B2AE35 % 2**32
        second += value ^ (value >> 16)
    return first % 2**32, second % 2**32


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=6), st.booleans())
def test_a_checksum_is_the_two_sums_of_the_header(words, as_column):
    array = np.array(words, np.uint32)
    assert checksum(array[:, None] if as_column else array) == reference(words)


def test_words_are_bits_in_row_major_order():
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4) - 7
    assert checksum(array) == reference(array.view(np.uint32).ravel().tolist())
    half = jnp.asarray(array, jnp.bfloat16)
    assert checksum(half) == reference(np.asarray(half).view(np.uint16).ravel().tolist())


def test_an_empty_array_sums_to_zero_and_a_single_number_is_an_array():
    assert checksum(np.zeros((0, 3), np.float32)) == (0, 0)
    assert checksum(jnp.float32(1)) == reference([0x3F800000])


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_single_bit_counts(dtype):
    values = np.random.default_rng(0).standard_normal(3) * 9
    array = np.asarray(jnp.asarray(values).astype(dtype))
    seen = {checksum(array)}
    bits = 1 if dtype == "bool" else 8 * array.dtype.itemsize
    for index in range(array.size):
        for bit in range(bits):
            raw = bytearray(array.tobytes())
            raw[index * array.dtype.itemsize + bit // 8] ^= 1 << bit % 8
            seen.add(checksum(np.frombuffer(bytes(raw), array.dtype)))
    assert len(seen) == 1 + array.size * bits


@given(st.lists(st.integers(0, 5), min_size=2, max_size=8), st.data())
def test_exchanged_values_are_seen(values, data):
    # Powers of two: their lowest bits are zero, so weights times values would often agree.
    array = 2.0 ** np.array(values, np.float32)
    first, second = data.draw(st.permutations(range(len(values))))[:2]
    swapped = array.copy()
    swapped[[first, second]] = swapped[[second, first]]
    assert (checksum(swapped) == checksum(array)) == (array[first] == array[second])
    assert checksum(swapped)[0] == checksum(array)[0]


def test_values_that_compare_equal_but_differ_in_bits_differ():
    assert checksum(np.float32([0.0])) != checksum(np.float32([-0.0]))
    one, other = np.uint32([0x7FC00000]), np.uint32([0x7FC00001])
    assert checksum(one.view(np.float32)) != checksum(other.view(np.float32))


def test_arrays_of_64_bits_are_two_words_each():
    with jax.enable_x64(True):
        array = jnp.asarray([1.5, -(2.0**40)], jnp.float64)
        assert checksum(array) == reference(np.asarray(array).view(np.uint32).tolist())
        assert checksum(jnp.asarray([2**40 + 1])) == reference([1, 256])


def test_names_and_their_order_stay():
    arrays = {"b": jnp.ones(2), "a": jnp.zeros(3), "c": np.int8([1, -1])}
    assert list(checksums(arrays)) == ["b", "a", "c"]
    assert checksums(arrays)["c"] == reference([1, 255])
    assert checksums({}) == {}
