"""CANINE's vectors of code points are those of transformers (``tests/golden/make_canine.py``)."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from tiny_families import GOLDEN

from textzoo.modules import CodePointHashEmbedding

PRIMES = (31, 43, 59, 61, 73, 97, 103, 113)


def make(**options):
    return CodePointHashEmbedding(0x110000, 16, **options, rngs=nnx.Rngs(0))


def test_vectors_equal_those_of_transformers():
    with np.load(GOLDEN / "canine.npz") as data:
        embedding = make(num_rows=50, num_hashes=4)
        for index, table in enumerate(embedding.tables):
            name = f"weights/char_embeddings.HashBucketCodepointEmbedder_{index}.weight"
            table.set_value(jnp.asarray(data[name], jnp.float32))
        ours = embedding.rows(jnp.asarray(data["ids"][data["mask"]]))
        np.testing.assert_array_equal(ours, data["embeddings"])


def test_hashes_of_every_code_point_are_those_of_python_s_integers():
    embedding = make(num_rows=16_384)
    codes = [0, 1, 0x20, 0xE000, 0x1F600, 0x10FFFF]
    expected = [[(code + 1) * prime % 16_384 for prime in PRIMES] for code in codes]
    np.testing.assert_array_equal(embedding.codes(jnp.asarray(codes)), expected)


def test_code_points_share_all_rows_or_none_when_no_prime_divides_the_number_of_rows():
    hashes = np.asarray(make(num_rows=16_384).codes(jnp.arange(2**16)))
    np.testing.assert_array_equal(hashes[: 2**14], hashes[2**14 : 2**15])
    assert all(len(np.unique(of_one[: 2**14])) == 2**14 for of_one in hashes.T)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(num_hashes=9), "use 8 or fewer"),
        (dict(num_hashes=5), "use a multiple of 5, e.g. width=15"),
        (dict(num_rows=0), "num_rows=0"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)
