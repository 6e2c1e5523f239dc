import pytest
from hypothesis import given
from hypothesis import strategies as st

from textzoo.errors import TextInputError
from textzoo.propositions import split_propositions, split_sentences

any_text = st.text(
    st.sampled_from(list("ab.!?;,() \n\u0301é\U0001f600"))
    | st.characters(exclude_categories=["Cs"]),
    max_size=60,
)


def said(text):
    return [" ".join(text[a:b] for a, b in pieces) for pieces in split_propositions(text)]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Dr. No came. He left!", ["Dr. No came.", "He left!"]),
        ("It cost 3.5 dollars. Really?", ["It cost 3.5 dollars.", "Really?"]),
        ("J. R. R. Tolkien wrote it.", ["J. R. R. Tolkien wrote it."]),
        ("She said so... and left.", ["She said so... and left."]),
        ("A title\n\nA text.", ["A title", "A text."]),
        ("雨だ。寒い。", ["雨だ。", "寒い。"]),
        (" \n ", []),
    ],
)
def test_sentences(text, sentences):
    assert [text[start:end] for start, end in split_sentences(text)] == sentences


@pytest.mark.parametrize(
    ("text", "propositions"),
    [
        ("Cats and dogs are pets.", ["Cats and dogs are pets"]),
        (
            "Dracula was published in 1897 and was written by Bram Stoker.",
            ["Dracula was published in 1897", "Dracula was written by Bram Stoker"],
        ),
        (
            "Dracula is a novel by Bram Stoker, published in 1897.",
            ["Dracula is a novel by Bram Stoker", "Dracula published in 1897"],
        ),
        (
            "He met the old king, who was ill; he left.",
            ["He met the old king", "old king was ill", "he left"],
        ),
        (
            "Although it rained, they played because they were happy.",
            ["it rained", "they played", "they were happy"],
        ),
        ("A red, round, ripe apple", ["A red, round, ripe apple"]),
        ("", []),
        ("...", []),
    ],
)
def test_propositions(text, propositions):
    assert said(text) == propositions


@given(any_text)
def test_propositions_lie_in_their_text_in_pieces_that_do_not_overlap(text):
    for pieces in split_propositions(text):
        assert pieces
        for start, end in pieces:
            assert 0 <= start < end <= len(text)
        ordered = sorted(pieces)
        assert all(a[1] <= b[0] for a, b in zip(ordered, ordered[1:], strict=False))


@given(any_text)
def test_sentences_cover_all_but_white_space_and_separators(text):
    rest, at = "", 0
    for start, end in split_sentences(text):
        assert at <= start < end
        rest, at = rest + text[at:start], end
    assert not (rest + text[at:]).strip(" \t\n\r,;:\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0\u2028\u2029")


@pytest.mark.parametrize("text", [None, b"It rained.", float("nan")])
@pytest.mark.parametrize("split", [split_sentences, split_propositions])
def test_what_is_no_text_is_not_split(split, text):
    with pytest.raises(TextInputError, match="expected str"):
        split(text)
