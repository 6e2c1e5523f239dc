import threading

import numpy as np
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tiny_encoder import KINDS, SENTENCES, library_tokenizer, tiny_tokenizer

from textzoo.modules.tokenizers import SubwordTokenizer, Tokenized
from textzoo.modules.tokenizers import subword as subword_module

every_kind = pytest.mark.parametrize("kind", KINDS)
any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


def slices(tokenizer, text):
    """What each token of a text stands for, without the empty ones."""
    offsets = tokenizer([text], return_offsets=True).offsets_of(0).tolist()
    return [text[start:end] for start, end in offsets if start < end]


@every_kind
def test_ids_are_those_of_the_library(kind):
    tokenized = tiny_tokenizer(kind, max_length=64)(SENTENCES)
    for row, sentence in enumerate(SENTENCES):
        ids = tokenized.ids[tokenized.starts[row] : tokenized.starts[row + 1]]
        assert ids.tolist() == library_tokenizer(kind).encode(sentence).ids


@every_kind
def test_special_tokens_stand_around_the_text_and_can_be_left_out(kind):
    with_special = tiny_tokenizer(kind)(["the fox"]).ids.tolist()
    without = tiny_tokenizer(kind, add_special_tokens=False)(["the fox"]).ids.tolist()
    assert with_special[1:-1] == without


@every_kind
@given(text=any_text)
def test_offsets_lie_within_any_text_and_hold_no_white_space_at_their_ends(kind, text):
    tokenized = tiny_tokenizer(kind)([text], return_offsets=True)
    offsets = tokenized.offsets_of(0)
    assert len(offsets) == tokenized.lengths[0]
    assert (offsets >= 0).all() and (offsets <= len(text)).all()
    assert (offsets[:, 0] <= offsets[:, 1]).all()
    assert all(part == part.strip() for part in slices(tiny_tokenizer(kind), text))


@every_kind
def test_offsets_count_characters_not_bytes(kind):
    text = "naïve café \U0001f600 fox"
    assert "".join(slices(tiny_tokenizer(kind), text)[-3:]).endswith("fox")
    assert slices(tiny_tokenizer("wordpiece"), text)[-1] in text[-3:]


def test_bytes_of_one_emoji_share_its_offsets():
    text = "fox \U0001f600!"
    offsets = tiny_tokenizer("bpe", add_special_tokens=False)([text], return_offsets=True)
    assert [4, 5] in offsets.offsets_of(0).tolist()
    assert text[4:5] == "\U0001f600"
    assert slices(tiny_tokenizer("bpe"), text).count("\U0001f600") >= 2


@pytest.mark.parametrize("trim_offsets", [True, False])
def test_leading_spaces_of_byte_level_tokens_are_not_in_their_offsets(trim_offsets):
    library = tokenizers.Tokenizer.from_str(library_tokenizer("bpe").to_str())
    library.post_processor = tokenizers.processors.ByteLevel(trim_offsets=trim_offsets)
    tokenizer = SubwordTokenizer(library)
    assert "fox" in "".join(slices(tokenizer, "the  fox"))
    assert all(part.strip() == part for part in slices(tokenizer, "the  fox"))
    assert [0, 3] in tokenizer(["the  fox"], return_offsets=True).offsets_of(0).tolist()


@pytest.mark.parametrize("kind", ["wordpiece", "unigram"])
def test_a_combining_mark_belongs_to_its_letter_when_the_normalizer_drops_it(kind):
    text = "cafe\u0301 fox"
    covered = set()
    for start, end in tiny_tokenizer(kind)([text], return_offsets=True).offsets_of(0).tolist():
        covered.update(range(start, end))
    assert covered == {0, 1, 2, 3, 4, 6, 7, 8}


@every_kind
def test_longer_texts_are_cut_and_flagged(kind):
    tokenized = tiny_tokenizer(kind, max_length=16)(["the fox", "the quick brown fox " * 9])
    assert tokenized.truncated.tolist() == [False, True]
    assert tokenized.lengths[1] == 16


def test_a_text_that_just_fits_is_not_flagged():
    tokenizer = tiny_tokenizer(max_length=32)
    length = int(tokenizer(["the quick fox"]).lengths[0])
    assert not tiny_tokenizer(max_length=length)(["the quick fox"]).truncated[0]
    assert tiny_tokenizer(max_length=length - 1)(["the quick fox"]).truncated[0]


def test_a_text_of_100_000_characters_is_cut_to_the_maximal_length():
    tokenized = tiny_tokenizer()(["the fox " * 12_500])
    assert tokenized.lengths.tolist() == [32]
    assert tokenized.truncated.tolist() == [True]


@every_kind
@pytest.mark.parametrize("text", ["", "   ", "\n\t"])
def test_an_empty_text_is_its_special_tokens(kind, text):
    tokenized = tiny_tokenizer(kind)(["fox", text], return_offsets=True)
    offsets = tokenized.offsets_of(1)
    assert tokenized.lengths[1] >= 2
    assert (offsets[:, 0] == offsets[:, 1]).all()


def test_no_texts_give_no_tokens():
    tokenized = tiny_tokenizer()([], return_offsets=True)
    assert len(tokenized) == 0
    assert tokenized.offsets.shape == (0, 2)


@pytest.mark.parametrize("max_length", [0, 1, 2])
def test_a_maximal_length_without_room_for_text_is_refused(max_length):
    with pytest.raises(ValueError, match="leaves no room for text beside 2 special.* 3 or more"):
        tiny_tokenizer(max_length=max_length)


@pytest.mark.parametrize("kind", ["wordpiece", "unigram"])
def test_dropped_unknown_tokens_count_towards_the_maximal_length(kind):
    text = "\u4f60 \u597d \u4f60 fox dog"
    kept = tiny_tokenizer(kind, drop_unknown=True, add_special_tokens=False)([text])
    all_ids = tiny_tokenizer(kind, add_special_tokens=False)([text]).ids.tolist()
    unknown = library_tokenizer(kind).encode("\u4f60", add_special_tokens=False).ids[-1]
    assert unknown in all_ids
    assert kept.ids.tolist() == [token for token in all_ids if token != unknown]
    short = tiny_tokenizer(kind, drop_unknown=True, add_special_tokens=False, max_length=4)([text])
    assert short.ids.tolist() == [token for token in all_ids[:4] if token != unknown]
    assert short.truncated[0]


def test_byte_level_bpe_has_no_unknown_tokens_to_drop():
    text = ["\u4f60 fox"]
    dropped = tiny_tokenizer("bpe", drop_unknown=True)(text)
    assert dropped.ids.tolist() == tiny_tokenizer("bpe")(text).ids.tolist()


@every_kind
def test_lowercase_gives_the_ids_of_the_lower_text_and_offsets_of_the_original(kind):
    text = "The Quick İstanbul FOX"
    lowered = tiny_tokenizer(kind, lowercase=True)([text], return_offsets=True)
    assert lowered.ids.tolist() == tiny_tokenizer(kind)([text.lower()]).ids.tolist()
    assert text[lowered.offsets_of(0)[-2, 0] :].startswith(("FOX", "OX", "X"))
    assert lowered.offsets.max() == len(text)


def test_lowercase_survives_a_round_trip_without_being_added_again(tmp_path):
    tiny_tokenizer("bpe", lowercase=True).save(tmp_path)
    first = (tmp_path / "tokenizer.json").read_text()
    SubwordTokenizer.from_directory(tmp_path, max_length=32, lowercase=True).save(tmp_path)
    assert (tmp_path / "tokenizer.json").read_text() == first


@every_kind
def test_a_saved_tokenizer_reads_back_the_same(kind, tmp_path):
    tiny_tokenizer(kind).save(tmp_path)
    again = SubwordTokenizer.from_directory(tmp_path, max_length=32)
    assert again(SENTENCES).ids.tolist() == tiny_tokenizer(kind)(SENTENCES).ids.tolist()
    assert again.vocab_size == tiny_tokenizer(kind).vocab_size


def test_the_library_tokenizer_passed_in_is_left_as_it_is():
    library = tokenizers.Tokenizer.from_str(library_tokenizer("wordpiece").to_str())
    library.enable_padding(length=50)
    ours = SubwordTokenizer(library, max_length=5)
    assert library.padding is not None and library.truncation is None
    assert ours(["the quick brown fox jumps"]).lengths.tolist() == [5]
    assert SubwordTokenizer(library, max_length=9)(["the fox"]).lengths[0] < 9


def test_a_missing_file_says_what_to_save(tmp_path):
    with pytest.raises(FileNotFoundError, match="tokenizer.json does not exist.*save_pretrained"):
        SubwordTokenizer.from_directory(tmp_path)


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match="tokenizer.json is not a tokenizer file"):
        SubwordTokenizer.from_directory(tmp_path)


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (["a", None], TypeError, r"texts\[1\] is NoneType"),
        (["a", b"b"], TypeError, r"texts\[1\] is bytes.*decode"),
        ([("a", "b")], TypeError, r"texts\[0\] is tuple"),
        (["a", "b", "x\ud800"], ValueError, r"texts\[2\] has a lone surrogate.*character 1"),
    ],
)
def test_what_is_not_text_is_named(bad, error, message):
    with pytest.raises(error, match=message):
        tiny_tokenizer()(bad)


@pytest.mark.parametrize("return_offsets", [False, True])
def test_long_inputs_are_tokenized_in_pieces_with_the_same_result(monkeypatch, return_offsets):
    texts = list(SENTENCES) * 3
    whole = tiny_tokenizer()(texts, return_offsets=return_offsets)
    monkeypatch.setattr(subword_module, "_PIECE_CHARACTERS", 60)
    pieces = tiny_tokenizer()(texts, return_offsets=return_offsets)
    assert pieces.ids.tolist() == whole.ids.tolist()
    assert pieces.starts.tolist() == whole.starts.tolist()
    assert (pieces.offsets is None) == (not return_offsets)
    assert not return_offsets or pieces.offsets.tolist() == whole.offsets.tolist()


@every_kind
@pytest.mark.parametrize("places", [{}, {"return_offsets": True, "return_words": True}])
def test_few_texts_are_tokenized_like_many(monkeypatch, kind, places):
    tokenizer = tiny_tokenizer(kind, max_length=8)
    found = []
    for few in (0, 1 << 30):
        monkeypatch.setattr(subword_module, "_FEW_CHARACTERS", few)
        found.append(tokenizer([*SENTENCES, "", " "], **places))
    assert found[0].truncated.any() and not found[0].truncated.all()
    for name in ("ids", "starts", "truncated", "offsets", "words"):
        np.testing.assert_array_equal(getattr(found[0], name), getattr(found[1], name))


def test_threads_share_a_tokenizer():
    tokenizer = tiny_tokenizer()
    expected = tokenizer(SENTENCES).ids.tolist()
    results = [None] * 8

    def work(slot):
        results[slot] = [tokenizer(SENTENCES).ids.tolist() for _ in range(20)]

    threads = [threading.Thread(target=work, args=(slot,)) for slot in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(ids == expected for result in results for ids in result)


def test_select_and_concatenate_keep_texts_whole():
    tokenized = tiny_tokenizer()(SENTENCES, return_offsets=True)
    rows = np.array([3, 0])
    joined = Tokenized.concatenate([tokenized.select(rows), tokenized.select(np.array([4]))])
    assert len(joined) == 3
    for row, source in enumerate((3, 0, 4)):
        begin, end = tokenized.starts[source : source + 2]
        assert joined.ids[joined.starts[row] : joined.starts[row + 1]].tolist() == (
            tokenized.ids[begin:end].tolist()
        )
        assert joined.offsets_of(row).tolist() == tokenized.offsets_of(source).tolist()


def test_parts_with_and_without_offsets_do_not_mix():
    tokenizer = tiny_tokenizer()
    with pytest.raises(ValueError, match="some parts have offsets"):
        Tokenized.concatenate([tokenizer(["a"]), tokenizer(["b"], return_offsets=True)])


def test_asking_for_offsets_that_were_not_kept_says_how_to_keep_them():
    with pytest.raises(ValueError, match="return_offsets=True"):
        tiny_tokenizer()(["a"]).offsets_of(0)


def test_a_batch_is_padded_with_empty_rows():
    tokenized = tiny_tokenizer()(["the fox", "a"])
    batch = tokenized.batch(np.array([1]), length=8, size=2)
    assert batch.ids.shape == batch.mask.shape == (2, 8)
    assert batch.mask.sum(axis=1).tolist() == [int(tokenized.lengths[1]), 0]


@every_kind
def test_words_are_those_of_the_library(kind):
    tokenized = tiny_tokenizer(kind, max_length=64)(SENTENCES, return_words=True)
    for row, sentence in enumerate(SENTENCES):
        expected = library_tokenizer(kind).encode(sentence).word_ids
        words = tokenized.words[tokenized.starts[row] : tokenized.starts[row + 1]]
        assert words.tolist() == [-1 if word is None else word for word in expected]


def test_words_follow_when_tokens_are_dropped_selected_and_joined():
    tokenizer = tiny_tokenizer(drop_unknown=True)
    tokenized = tokenizer(["fox \u4f60 dog", "a fox"], return_words=True)
    assert len(tokenized.words) == len(tokenized.ids)
    assert tokenized.select(np.array([1])).words.tolist() == (
        tokenizer(["a fox"], return_words=True).words.tolist()
    )
    joined = Tokenized.concatenate([tokenized, tokenized])
    assert joined.words.tolist() == tokenized.words.tolist() * 2


def test_parts_with_and_without_words_do_not_mix():
    tokenizer = tiny_tokenizer()
    with pytest.raises(ValueError, match="some parts have words"):
        Tokenized.concatenate([tokenizer(["a"]), tokenizer(["b"], return_words=True)])


def test_options_change_in_a_tokenizer_of_its_own():
    tokenizer = tiny_tokenizer(lowercase=True)
    other = tokenizer.with_options(max_length=4, add_special_tokens=False)
    text = "The quick brown FOX jumps"
    assert other([text]).ids.tolist() == tokenizer([text.lower()]).ids[1:5].tolist()
    assert tokenizer.max_length == 32 and tokenizer([text]).lengths[0] > 4
