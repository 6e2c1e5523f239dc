import warnings

import numpy as np
import pytest
from tiny_encoder import KINDS, tiny_encoder

from textzoo.errors import TextInputError, TruncationWarning
from textzoo.late_chunking import word_chunks

TEXT = "the quick brown fox jumps over the lazy dog"
LONG = "a lazy dog jumps. The fox slept! " * 6


def span(text, piece):
    return (text.index(piece), text.index(piece) + len(piece))


def test_phrases_are_spans_in_their_context():
    encoder = tiny_encoder(layers=1)
    phrases = [span(TEXT, "brown fox"), span(TEXT, "fox"), span(TEXT, "lazy dog")]
    (found,) = encoder.encode_phrases([TEXT], [phrases])
    (spans,) = encoder.encode_spans([TEXT], [phrases])
    np.testing.assert_array_equal(found.vectors, spans.vectors)
    assert found.texts == ["brown fox", "fox", "lazy dog"]
    assert found.spans == tuple((phrase,) for phrase in phrases)
    assert encoder.last_report.texts == 1


def test_phrases_without_context_are_texts_of_their_own():
    encoder = tiny_encoder(layers=1)
    phrases = [[span(TEXT, "lazy dog"), span(TEXT, "fox")], [(0, 3)], []]
    found = encoder.encode_phrases([TEXT, "fox!", "cats"], phrases, in_context=False)
    np.testing.assert_allclose(found[0].vectors, encoder.encode(["lazy dog", "fox"]), atol=1e-6)
    np.testing.assert_array_equal(found[1].vectors, found[0].vectors[1:])
    assert found[2].vectors.shape == (0, 8)


def test_a_proposition_is_one_vector_of_several_pieces():
    encoder = tiny_encoder(layers=1)
    pieces = [span(TEXT, "the quick"), span(TEXT, "lazy dog")]
    (found,) = encoder.encode_propositions([TEXT], [[pieces, pieces[::-1], pieces[:1]]])
    np.testing.assert_array_equal(found.vectors[0], found.vectors[1])
    assert np.abs(found.vectors[0] - found.vectors[2]).max() > 1e-3
    assert found.texts[0] == "the quick lazy dog"


def test_propositions_are_found_where_none_are_given():
    encoder = tiny_encoder(layers=1)
    text = "Cats are pets and were foxes. A dog slept."
    (found,) = encoder.encode_propositions([text])
    assert found.texts == ["Cats are pets", "Cats were foxes", "A dog slept"]
    (given,) = encoder.encode_propositions([text], [found.spans])
    np.testing.assert_array_equal(found.vectors, given.vectors)
    assert encoder.last_report.texts == 1


@pytest.mark.parametrize("kind", KINDS)
def test_offsets_count_characters_of_the_text_behind_emoji_and_marks(kind):
    text = "\U0001f468\u200d\U0001f469 na\u0131\u0308ve cafe\u0301 \U0001f600 the fox"
    encoder = tiny_encoder(kind)
    (tokens,) = encoder.encode_tokens(text)
    fox = span(text, "fox")
    (found,) = encoder.encode_phrases([text], [[fox, span(text, "cafe\u0301")]])
    own = tokens.vectors[(tokens.offsets[:, 0] < fox[1]) & (tokens.offsets[:, 1] > fox[0])]
    mean = own.mean(axis=0)
    np.testing.assert_allclose(found.vectors[0], mean / np.linalg.norm(mean), atol=1e-6)
    assert found.kept.all() and not found.cut.any()
    assert found.texts == ["fox", "cafe\u0301"]


def test_flags_tell_spans_that_are_lost_from_those_that_are_cut():
    text = "fox " * 99 + "dog"
    end = (len(text) - 3, len(text))
    spans = [[(0, 3)], [end], [(0, 3), end], [(80, len(text))], [(0, len(text))]]
    with pytest.warns(TruncationWarning):
        (found,) = tiny_encoder().encode_propositions([text], [spans])
    assert found.kept.tolist() == [True, False, True, True, True]
    assert found.cut.tolist() == [False, True, True, True, True]


def test_white_space_behind_the_cut_is_no_loss():
    with pytest.warns(TruncationWarning):
        (found,) = tiny_encoder().encode_spans(["fox " * 40], [[(0, 120), (0, 121)]])
    assert found.cut.tolist() == [False, True]


def test_a_prompt_does_not_move_the_cut():
    encoder = tiny_encoder(prompts={"query": "fox fox fox "})
    with pytest.warns(TruncationWarning):
        (found,) = encoder.encode_spans(
            ["dog " * 40], [[(0, 27 * 4), (0, 27 * 4 + 1)]], prompt="query"
        )
    assert found.cut.tolist() == [False, True]


def test_chunks_of_a_short_document_are_spans_of_it():
    encoder = tiny_encoder(layers=1)
    text = "A fox jumps. The lazy dog slept!"
    (found,) = encoder.encode_chunks([text])
    assert found.texts == ["A fox jumps.", "The lazy dog slept!"]
    (spans,) = encoder.encode_spans([text], [[piece for (piece,) in found.spans]])
    np.testing.assert_array_equal(found.vectors, spans.vectors)


def test_chunks_behind_the_longest_length_are_read_in_windows():
    encoder = tiny_encoder(layers=1)
    first, second = encoder.encode_chunks([LONG, "cats"])
    assert len(first) == 12 and len(second) == 1
    assert first.kept.all() and not first.cut.any()
    (alone,) = encoder.encode_chunks([LONG])
    np.testing.assert_array_equal(first.vectors, alone.vectors)
    chunks = [piece for (piece,) in first.spans]
    for context in (0, 1):
        (found,) = encoder.encode_chunks([LONG], context=context)
        at = 0
        while at < 12:
            begin = max(0, at - context)
            base = chunks[begin][0]
            rest = [(start - base, end - base) for start, end in chunks[begin:]]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", TruncationWarning)
                (window,) = encoder.encode_spans([LONG[base:]], [rest])
            whole = (~window.cut).sum() - (at - begin)
            np.testing.assert_allclose(
                found.vectors[at : at + whole], window.vectors[at - begin :][:whole], atol=1e-6
            )
            at += whole


def test_chunks_may_overlap_and_stand_in_any_order():
    encoder = tiny_encoder(layers=1)
    pieces = word_chunks(LONG, words=4)
    overlapping = [(0, 40), (20, 60), *pieces]
    (found,) = encoder.encode_chunks([LONG], [overlapping])
    (turned,) = encoder.encode_chunks([LONG], [overlapping[::-1]])
    np.testing.assert_allclose(found.vectors, turned.vectors[::-1], atol=1e-6)
    assert found.kept.all() and not found.cut.any()


def test_a_chunk_longer_than_a_window_is_cut_and_the_next_ones_are_not():
    text = "fox " * 60 + "A dog slept."
    with pytest.warns(TruncationWarning, match="1 of 1 texts"):
        (found,) = tiny_encoder(layers=1).encode_chunks([text], [[(0, 239), (240, len(text))]])
    assert found.cut.tolist() == [True, False]
    assert found.kept.all()


def test_word_chunks_hold_every_word():
    pieces = word_chunks("  a b\n c  d e ", words=2)
    assert ["  a b\n c  d e "[a:b] for a, b in pieces] == ["a b", "c  d", "e"]
    with pytest.raises(ValueError, match="words=0"):
        word_chunks("a", words=0)


@pytest.mark.parametrize("name", ["phrases", "propositions", "chunks"])
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([(0, 2), (3, 3)], r"\[1\]\[1\] has \(3, 3\), which is empty"),
        ([(0, 99)], r"\[1\]\[0\] has \(0, 99\).*of 7 characters"),
        ([(5, 2)], r"\(5, 2\)"),
        (["fox"], r"is 'fox', expected \(start, end\)"),
    ],
)
def test_bad_spans_are_named(name, bad, message):
    call = getattr(tiny_encoder(), f"encode_{name}")
    with pytest.raises(TextInputError, match=f"{name}{message}" if message[1] == "[" else message):
        call(["dog", "the fox"], [[], bad])


def test_lists_of_another_length_and_other_shapes_are_named():
    encoder = tiny_encoder()
    with pytest.raises(TextInputError, match="0 lists of phrases for 1 texts"):
        encoder.encode_phrases(["fox"], [])
    with pytest.raises(TextInputError, match="has 2 pieces"):
        encoder.encode_phrases(["the fox"], [[[(0, 3), (4, 7)]]])
    with pytest.raises(TextInputError, match=r"overlap; write them as one, \(0, 5\)"):
        encoder.encode_propositions(["the fox"], [[[(2, 5), (0, 3)]]])
    with pytest.raises(TextInputError, match="context=-1"):
        encoder.encode_chunks(["the fox"], context=-1)


@pytest.mark.parametrize("call", ["encode_spans", "encode_phrases", "encode_chunks"])
def test_spans_that_are_no_list_are_refused(call):
    with pytest.raises(TextInputError, match="is NoneType, expected a list of"):
        getattr(tiny_encoder(), call)(["a"], None)
