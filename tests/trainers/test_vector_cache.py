import numpy as np
import pytest

from textzoo.errors import DataError, ResumeError
from textzoo.trainers.vector_cache import cached_vectors

VECTORS = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float16)
MADE_OF = {"model": "abc", "texts": "123"}


class Encoder:
    def __init__(self, vectors=VECTORS):
        self.vectors, self.calls = vectors, 0

    def __call__(self):
        self.calls += 1
        for start in range(0, len(self.vectors), 4):
            yield self.vectors[start : start + 4]


def test_vectors_are_computed_once_and_mapped(tmp_path):
    encoder = Encoder()
    for _ in range(2):
        found = cached_vectors(tmp_path / "cache" / "v.npy", MADE_OF, encoder, count=10)
        assert isinstance(found, np.memmap) and found.dtype == np.float16
        np.testing.assert_array_equal(found, VECTORS)
    assert encoder.calls == 1
    assert sorted(p.name for p in (tmp_path / "cache").iterdir()) == ["v.json", "v.npy"]


@pytest.mark.parametrize("change", [{"model": "xyz"}, {"prompt": "query: "}])
def test_vectors_of_something_else_are_refused_or_renewed(tmp_path, change):
    path = tmp_path / "v.npy"
    cached_vectors(path, MADE_OF, Encoder(), count=10)
    other = {**MADE_OF, **change}
    with pytest.raises(ResumeError, match=f"another {next(iter(change))} .*renew=True"):
        cached_vectors(path, other, Encoder(), count=10)
    found = cached_vectors(path, other, Encoder(-VECTORS), count=10, renew=True)
    np.testing.assert_array_equal(found, -VECTORS)
    np.testing.assert_array_equal(cached_vectors(path, other, Encoder(), count=10), -VECTORS)


def test_a_corpus_that_has_grown_is_another_corpus(tmp_path):
    cached_vectors(tmp_path / "v.npy", MADE_OF, Encoder(), count=10)
    with pytest.raises(ResumeError, match="another count .count: '10', expected '11'"):
        cached_vectors(tmp_path / "v.npy", MADE_OF, Encoder(), count=11)


def test_an_interrupted_computation_leaves_nothing_that_counts(tmp_path):
    def interrupted():
        yield VECTORS[:4]
        raise KeyboardInterrupt

    path = tmp_path / "v.npy"
    cached_vectors(path, {"model": "old"}, Encoder(), count=10)
    with pytest.raises(KeyboardInterrupt):
        cached_vectors(path, MADE_OF, interrupted, count=10, renew=True)
    assert [p.name for p in tmp_path.iterdir()] == ["v.npy"]
    found = cached_vectors(path, MADE_OF, Encoder(-VECTORS), count=10)
    np.testing.assert_array_equal(found, -VECTORS)


@pytest.mark.parametrize("count", [9, 12])
def test_another_number_of_vectors_than_expected_is_refused(tmp_path, count):
    with pytest.raises(DataError, match=f"10 vectors were computed .* expected {count}"):
        cached_vectors(tmp_path / "v.npy", MADE_OF, Encoder(), count=count)
    assert not (tmp_path / "v.json").exists()


def test_damaged_files_are_refused(tmp_path):
    path = tmp_path / "v.npy"
    cached_vectors(path, MADE_OF, Encoder(), count=10)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match="v.npy is damaged"):
        cached_vectors(path, MADE_OF, Encoder(), count=10)
    (tmp_path / "v.json").write_text("[1")
    with pytest.raises(DataError, match="v.json is damaged"):
        cached_vectors(path, MADE_OF, Encoder(), count=10)


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"v\.npy"):
        cached_vectors(tmp_path / "v.bin", MADE_OF, Encoder(), count=10)
