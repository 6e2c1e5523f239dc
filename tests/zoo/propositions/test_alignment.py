import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textzoo.errors import ConfigError, DataError, TextInputError
from textzoo.propositions import align, merged_labels
from textzoo.propositions.alignment import _with_neighbors, stem

SENTENCE = "Dracula, a novel by the Irish author Bram Stoker, was published in 1897."


def found(sentence, proposition, **options):
    return [sentence[start:end] for start, end in align(sentence, proposition, **options)]


@pytest.mark.parametrize(
    ("proposition", "pieces"),
    [
        (SENTENCE, [SENTENCE[:-1]]),
        ("Dracula was published in 1897.", ["Dracula", "was published in 1897"]),
        ("Bram Stoker is an author.", ["author Bram Stoker", "was"]),
        ("In 1897 DRACULA is published!", ["Dracula", "was published in 1897"]),
        ("Cats are not dogs", []),
        ("novels", ["novel"]),
        ("", []),
    ],
)
def test_free_texts_are_found_in_their_sentence(proposition, pieces):
    assert found(SENTENCE, proposition) == pieces


def test_of_equal_words_the_one_with_matching_neighbors_is_taken():
    sentence = "The cat saw the dog and the bird."
    assert found(sentence, "saw the dog") == ["saw the dog"]
    assert found(sentence, "and the bird") == ["and the bird"]


def test_too_few_words_are_no_match():
    assert found(SENTENCE, "Dracula was a bloodthirsty count") == []
    assert found(SENTENCE, "Dracula was a bloodthirsty count", least=0.2) == ["Dracula", "a", "was"]


def test_offsets_count_characters_behind_marks_and_emoji():
    sentence = "\U0001f600\u200d Cafe\u0301s closed."
    assert found(sentence, "closed") == ["closed"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("writes", "writing"), True), (("stopped", "stops"), True), (("cities", "city"), True),
        (("was", "is"), True), (("Stoker's", "stoker"), True), (("boxes", "box"), True),
        (("bus", "bu"), False), (("his", "hi"), False), (("used", "us"), False),
    ],
)  # fmt: skip
def test_stems(words, expected):
    assert (stem(words[0]) == stem(words[1])) is expected


def test_neighbors_are_those_of_the_convolution():
    """A 7 x 7 kernel: one in the middle, 0.01 in its four corners of 3 x 3."""
    equal = (np.random.default_rng(0).random((9, 6)) < 0.4).astype(float)
    kernel = np.full((7, 7), 0.01)
    kernel[3], kernel[:, 3] = 0, 0
    kernel[3, 3] = 1
    expected = np.zeros_like(equal)
    for i, j in np.ndindex(equal.shape):
        for k, m in np.ndindex(7, 7):
            if 0 <= i + k - 3 < 9 and 0 <= j + m - 3 < 6:
                expected[i, j] += kernel[k, m] * equal[i + k - 3, j + m - 3]
    np.testing.assert_allclose(_with_neighbors(equal), expected, atol=1e-12)


@given(st.text("ab .,", max_size=30), st.text("ab .,", max_size=30))
def test_pieces_lie_in_the_sentence_in_order(sentence, proposition):
    at = 0
    for start, end in align(sentence, proposition):
        assert at <= start < end <= len(sentence)
        at = end


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12))
def test_labels_are_the_smallest_number_that_pairs_lead_to(pairs):
    expected = list(range(10))
    for _ in range(10):
        for a, b in pairs:
            expected[a] = expected[b] = min(expected[a], expected[b])
    assert merged_labels(10, pairs) == expected


@pytest.mark.parametrize("texts", [(None, "a"), ("a", b"a")])
def test_what_is_no_text_is_not_aligned(texts):
    with pytest.raises(TextInputError, match="expected str"):
        align(*texts)


@pytest.mark.parametrize("least", [float("nan"), -0.1, 1.0])
def test_a_share_that_is_none_is_refused(least):
    with pytest.raises(ConfigError, match="use a share from 0 to below 1"):
        align("a b", "a", least=least)


@pytest.mark.parametrize("pair", [(0, 5), (0, -1)])
def test_pairs_are_of_what_there_is(pair):
    with pytest.raises(DataError, match=f"a pair has {pair[1]}; expected numbers from 0 to 1"):
        merged_labels(2, [pair])
