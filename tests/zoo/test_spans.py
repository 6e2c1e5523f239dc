import numpy as np
import pytest
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st
from tiny_encoder import KINDS, tiny_encoder, tiny_model, tiny_tokenizer

from textzoo import Part, TextEncoder, build
from textzoo.errors import TextInputError, TruncationWarning
from textzoo.spans import read_spans, span_groups

TEXT = "the quick brown fox jumps over the lazy dog"
FOX = (TEXT.index("fox"), TEXT.index("fox") + 3)
DOG = (TEXT.index("dog"), TEXT.index("dog") + 3)
any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def test_token_vectors_come_with_the_text_they_stand_for():
    (result,) = tiny_encoder(layers=1).encode_tokens(TEXT)
    assert result.tokens == [TEXT[start:end] for start, end in result.offsets]
    assert "".join(result.tokens) == TEXT.replace(" ", "")
    assert result.vectors.shape == (len(result.tokens), 8)
    assert result.vectors.dtype == np.float32


def test_token_vectors_are_states_without_special_tokens():
    encoder = tiny_encoder(normalize=False)  # no encoder: states are rows of the table
    table = np.asarray(encoder.model.embedding.table[...])
    (result,) = encoder.encode_tokens(["the fox"])
    ids = tiny_tokenizer(add_special_tokens=False)(["the fox"]).ids
    np.testing.assert_array_equal(result.vectors, table[ids])


def test_tokens_of_several_texts_keep_their_order():
    texts = ["the fox", "", "a lazy dog jumps over cats", "dog"]
    results = tiny_encoder().encode_tokens(texts)
    assert [result.text for result in results] == texts
    assert len(results[1]) == 0 and results[1].vectors.shape == (0, 8)
    alone = tiny_encoder().encode_tokens(texts[2])[0]
    np.testing.assert_allclose(results[2].vectors, alone.vectors, atol=1e-6)


def test_no_texts_have_no_tokens_and_no_spans():
    assert tiny_encoder().encode_tokens([]) == []
    assert tiny_encoder().encode_spans([], []) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_prompt_changes_neither_offsets_nor_tokens(kind):
    plain = tiny_encoder(kind).encode_tokens("the fox")[0]
    encoder = tiny_encoder(kind, prompts={"query": "find foxes: "})
    prompted = encoder.encode_tokens("the fox", prompt="query")[0]
    assert "".join(prompted.tokens) == "".join(plain.tokens) == "thefox"
    with_prompt = encoder.encode_spans(["the fox"], [[(4, 7)]], prompt="query")[0]
    without = tiny_encoder(kind).encode_spans(["the fox"], [[(4, 7)]])[0]
    if kind != "unigram":  # where the prompt's last piece may take the first space
        np.testing.assert_allclose(with_prompt.vectors, without.vectors, atol=1e-6)


def test_a_span_is_the_mean_of_its_tokens_through_the_heads():
    encoder = tiny_encoder(layers=1)
    (tokens,) = encoder.encode_tokens(TEXT)
    (spans,) = encoder.encode_spans([TEXT], [[FOX, (0, len(TEXT)), [FOX, DOG]]])
    start, end = tokens.offsets[:, 0], tokens.offsets[:, 1]

    def mean(*ranges):
        rows = np.any([(start < b) & (end > a) for a, b in ranges], axis=0)
        vector = tokens.vectors[rows].mean(axis=0)
        return vector / np.linalg.norm(vector)

    expected = [mean(FOX), mean((0, len(TEXT))), mean(FOX, DOG)]
    np.testing.assert_allclose(spans.vectors, expected, atol=1e-5)
    assert spans.kept.all()


def test_a_span_that_touches_a_token_takes_all_of_it():
    encoder = tiny_encoder("bpe")
    inside = encoder.encode_spans([TEXT], [[(FOX[0], FOX[1])]])[0]
    tokens = encoder.encode_tokens(TEXT)[0].offsets
    last = tokens[(tokens[:, 0] < FOX[1]) & (tokens[:, 1] > FOX[0])][-1]
    part = encoder.encode_spans([TEXT], [[(FOX[0], int(last[0]) + 1)]])[0]
    np.testing.assert_array_equal(part.vectors, inside.vectors)


def test_spans_in_the_white_space_between_words_have_no_tokens():
    for kind in KINDS:
        (result,) = tiny_encoder(kind).encode_spans(["the fox"], [[(3, 4), (4, 4), (4, 7)]])
        assert result.kept.tolist() == [False, False, True]
        assert not result.vectors[:2].any() and result.vectors[2].any()


def test_spans_without_tokens_are_zeros_also_behind_a_head_with_a_bias():
    head = Part("Dense", in_features=8, out_features=8)
    model = build(tiny_model().config.replace(heads=(head,)), rngs=nnx.Rngs(0))
    model.heads[0].linear.bias.set_value(np.ones(8, np.float32))
    (result,) = TextEncoder(model, tiny_tokenizer()).encode_spans(["the fox"], [[(3, 4), (4, 7)]])
    assert not result.vectors[0].any() and result.vectors[1].any()


def test_a_mark_and_an_emoji_can_be_spans():
    text = "cafe\u0301 \U0001f600"
    (result,) = tiny_encoder("wordpiece").encode_spans([text], [[(3, 5), (4, 5), (6, 7)]])
    assert result.kept.tolist() == [True, True, True]
    np.testing.assert_array_equal(result.vectors[0], result.vectors[1])


def test_spans_behind_the_cut_are_not_kept():
    text = "fox " * 99 + "dog"
    spans = [[(0, 3), (len(text) - 3, len(text)), [(0, 3), (len(text) - 3, len(text))]]]
    with pytest.warns(TruncationWarning):
        (result,) = tiny_encoder().encode_spans([text], spans)
    assert result.kept.tolist() == [True, False, True]
    assert not result.vectors[1].any()
    np.testing.assert_array_equal(result.vectors[0], result.vectors[2])


def test_texts_without_spans_are_not_encoded():
    encoder = tiny_encoder()
    results = encoder.encode_spans(["the fox", TEXT, ""], [[], [FOX], []])
    assert [len(result) for result in results] == [0, 1, 0]
    assert results[0].vectors.shape == (0, 8)
    assert encoder.last_report.texts == 1


def test_many_spans_of_a_text_cost_one_encoding_and_do_not_change_one_another():
    encoder = tiny_encoder(layers=1)
    many = [(i, i + 3) for i in range(len(TEXT) - 3)]
    texts = [TEXT, "the lazy fox", TEXT]
    results = encoder.encode_spans(texts, [many, [(0, 3)], [FOX]])
    assert encoder.last_report.texts == 3
    alone = encoder.encode_spans([TEXT], [[FOX]])[0].vectors
    np.testing.assert_allclose(results[0].vectors[FOX[0]], alone[0], atol=1e-5)
    np.testing.assert_allclose(results[2].vectors, alone, atol=1e-5)


def test_span_vectors_can_be_narrowed():
    encoder = tiny_encoder()
    wide = encoder.encode_spans([TEXT], [[FOX]])[0].vectors
    narrow = encoder.encode_spans([TEXT], [[FOX]], truncate_dim=3)[0].vectors
    cut = wide[:, :3]
    np.testing.assert_allclose(narrow, cut / np.linalg.norm(cut), atol=1e-6)


@pytest.mark.parametrize(
    ("span", "message"),
    [
        ((0, 8), r"spans\[1\]\[0\] has \(0, 8\).*of 7 characters"),
        ((-1, 2), r"0 <= start <= end <= 7"),
        ((5, 2), r"\(5, 2\)"),
        ([(0, 2), (3, 99)], r"\(3, 99\)"),
        ((0, 1, 2), "expected .start, end. in characters"),
        ([], "expected .start, end. in characters"),
        ((0.5, 2), "expected .start, end. in characters"),
        ("ab", "expected .start, end. in characters"),
        (3, "expected .start, end. in characters"),
    ],
)
def test_spans_outside_their_text_are_refused(span, message):
    with pytest.raises(TextInputError, match=message):
        tiny_encoder().encode_spans(["the dog", "the fox"], [[(0, 3)], [span]])


@pytest.mark.parametrize("spans", [[], [[(0, 1)], [(0, 1)]], [3]])
def test_spans_come_as_one_list_per_text(spans):
    with pytest.raises(TextInputError, match="lists? of spans"):
        tiny_encoder().encode_spans(["the fox"], spans)


@pytest.mark.parametrize("kind", KINDS)
@given(text=any_text, data=st.data())
def test_token_masks_of_any_span_hold_the_tokens_that_overlap_it(kind, text, data):
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    offsets = tiny_tokenizer(kind)([text], return_offsets=True).offsets_of(0)
    (ranges,) = read_spans([text], [[(start, end), (0, len(text))]])
    masks = ranges.token_masks(offsets)
    expected = [start < b and end > a and a < b for a, b in offsets.tolist()]
    assert masks[0].tolist() == expected
    assert (masks[1] >= masks[0]).all()


def test_groups_have_powers_of_two_of_spans_and_bounded_masks():
    texts = ["aa", "a", "aaa", "a"]
    ranges = read_spans(texts, [[(0, 1)] * 3, [(0, 1)], [(0, 1)] * 4, []])
    groups = [(size, group.tolist()) for size, _, group in span_groups(texts, ranges, 512)]
    assert groups == [(1, [1]), (4, [2, 0])]
    many = read_spans(["a"], [[(0, 1)] * 50_000])
    ((size, tokens, _),) = span_groups(["a"], many, 16_384)
    assert size == 65_536 and tokens * size <= 1 << 22
