import collections
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_encoder import KINDS, SENTENCES, tiny_tokenizer

from textzoo.errors import ConfigError, DataError, ResumeError
from textzoo.trainers.data import Mixture, PackedData, Reading
from textzoo.trainers.data.packed_data import special_tokens
from textzoo.trainers.data.packing import plan_rows
from textzoo.trainers.data.token_store import number_words

AT_ONCE = Reading(threads=0)
PACKINGS = ("pack", "concatenate", "none")
every_packing = pytest.mark.parametrize("packing", PACKINGS)
WORDS = " ".join(SENTENCES).split()


def texts(count, seed=0, longest=40):
    rng = np.random.default_rng(seed)
    return [
        {"text": " ".join(rng.choice(WORDS, size=rng.integers(0, longest)))} for _ in range(count)
    ]


def packed(source=None, kind="wordpiece", **options):
    settings = {"batch_size": 4, "length": 16, "reading": AT_ONCE}
    source = texts(30) if source is None else source
    return PackedData(source, tiny_tokenizer(kind), **{**settings, **options})


def take(stream, count):
    found = [next(stream) for _ in range(count)]
    stream.close()
    return found


def rows_of(data):
    """Ids of every row, without padding."""
    for loaded in data.evaluation_batches():
        (batch,) = loaded.batch.texts
        for row in np.flatnonzero(loaded.batch.row_mask):
            yield batch.ids[row][batch.mask[row]].tolist()


def own_tokens(source, kind="wordpiece"):
    tokenizer = tiny_tokenizer(kind, max_length=10_000, add_special_tokens=False)
    tokenized = tokenizer([row["text"] for row in source])
    return [ids.tolist() for ids in np.split(tokenized.ids, tokenized.starts[1:-1])]


@given(
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=60),
    packing=st.sampled_from(PACKINGS),
    length=st.integers(4, 20),
    special=st.sampled_from([(0, 0), (1, 1), (0, 1), (2, 1)]),
    seed=st.integers(0, 3),
)
def test_every_token_is_in_one_row_and_no_row_is_too_long(lengths, packing, length, special, seed):
    starts = np.concatenate([[0], np.cumsum(lengths)])
    plan = plan_rows(starts, packing, length=length, special=special, seed=seed)
    covered = np.concatenate(
        [np.zeros(0, int)]
        + [np.arange(s, s + n) for s, n in zip(plan.starts, plan.lengths, strict=True)]
    )
    assert sorted(covered) == list(range(sum(lengths)))
    before, after = special
    for row in range(len(plan)):
        pieces = plan.lengths[plan.firsts[row] : plan.firsts[row + 1]]
        assert len(pieces) and (pieces > 0).all()
        heads = 1 if packing == "concatenate" else len(pieces)
        assert pieces.sum() + heads * before + len(pieces) * after <= length
        assert packing != "none" or len(pieces) == 1


@given(
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=40),
    packing=st.sampled_from(PACKINGS),
)
def test_no_piece_crosses_the_end_of_a_text(lengths, packing):
    starts = np.concatenate([[0], np.cumsum(lengths)])
    plan = plan_rows(starts, packing, length=9, special=(1, 1), seed=0)
    first = np.searchsorted(starts, plan.starts, side="right")
    last = np.searchsorted(starts, plan.starts + plan.lengths - 1, side="right")
    np.testing.assert_array_equal(first, last)


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        # Rows of 10: 7 opens one, 6 another, 4 goes to the 6 and 3 to the 7; 2 opens a third.
        ([4, 7, 2, 6, 3], [[2], [3, 7], [4, 6]]),
        # 3 fits beside the 6 and beside the 7, where it leaves less room.
        ([3, 6, 7], [[3, 7], [6]]),
    ],
)
def test_pieces_are_put_where_the_least_room_is_left(lengths, expected):
    starts = np.concatenate([[0], np.cumsum(lengths)])
    plan = plan_rows(starts, "pack", length=10, special=(0, 0), seed=0)
    ends = zip(plan.firsts[:-1], plan.firsts[1:], strict=True)
    assert sorted(sorted(plan.lengths[a:b].tolist()) for a, b in ends) == expected


def test_short_texts_leave_less_than_one_percent_of_padding():
    lengths = np.random.default_rng(0).integers(5, 60, size=5000)
    plan = plan_rows(
        np.concatenate([[0], np.cumsum(lengths)]), "pack", length=128, special=(1, 1), seed=0
    )
    filled = lengths.sum() + 2 * len(plan.lengths)
    assert 0.99 < filled / (len(plan) * 128) <= 1


@every_packing
@pytest.mark.parametrize("kind", KINDS)
def test_packing_neither_loses_nor_repeats_a_token(packing, kind):
    source = texts(30)
    special = {tiny_tokenizer(kind).token_to_id(t) for t in ("[CLS]", "[SEP]", "<s>", "</s>")}
    expected = collections.Counter(t for text in own_tokens(source, kind) for t in text)
    found = collections.Counter(t for row in rows_of(packed(source, kind, packing=packing))
                                for t in row if t not in special)  # fmt: skip
    assert found == expected


def test_segments_are_whole_texts_between_special_tokens():
    source = [{"text": text} for text in SENTENCES for _ in range(4)]
    data = packed(source, length=32, batch_size=2)
    cls, sep = tiny_tokenizer().token_to_id("[CLS]"), tiny_tokenizer().token_to_id("[SEP]")
    known = {tuple([cls, *text, sep]) for text in own_tokens(source)}
    seen = 0
    for loaded in data.evaluation_batches():
        (batch,) = loaded.batch.texts
        for row in range(2):
            numbers = [n for n in np.unique(batch.segment_ids[row]) if n]
            assert numbers == list(range(1, len(numbers) + 1))
            for number in numbers:
                here = batch.segment_ids[row] == number
                assert tuple(batch.ids[row][here].tolist()) in known
                assert batch.positions[row][here].tolist() == list(range(here.sum()))
                assert batch.mask[row][here].all()
                seen += 1
            assert not batch.mask[row][batch.segment_ids[row] == 0].any()
    assert seen == len(source)


def test_texts_that_run_together_fill_their_rows():
    data = packed(packing="concatenate")
    rows = list(rows_of(data))
    cls, sep = tiny_tokenizer().token_to_id("[CLS]"), tiny_tokenizer().token_to_id("[SEP]")
    for row in rows[:-1]:
        assert row[0] == cls and row[-1] == sep and row.count(cls) == 1
        assert 15 <= len(row) <= 16  # One less where a row begins or ends with a text's own end.
        assert [sep, sep] not in [row[i : i + 2] for i in range(len(row))]
    (batch,) = next(data.stream()).batch.texts
    assert batch.segment_ids is None and batch.positions is None


def test_unpacked_texts_begin_at_the_beginning_of_a_row():
    source = [{"text": SENTENCES[0]}, {"text": "fox " * 30}]
    rows = sorted(rows_of(packed(source, packing="none", batch_size=1)), key=len)
    special = special_tokens(tiny_tokenizer())
    pieces = [row[1:-1] for row in rows]
    assert all([row[0]] == special[0] and [row[-1]] == special[1] for row in rows)
    fox = own_tokens([{"text": "fox"}])[0]
    full = [piece for piece in pieces if set(piece) == set(fox)]
    assert sum(map(len, full)) == 30 * len(fox)
    assert all(len(piece) == 14 for piece in full[1:])


@every_packing
def test_words_are_numbered_through_a_row(packing):
    data = packed(packing=packing, word_ids=True)
    for loaded in take(data.stream(), 5):
        (batch,) = loaded.batch.texts
        special = np.isin(batch.ids, sum(special_tokens(tiny_tokenizer()), []))
        assert (loaded.batch.word_ids[~batch.mask | special] == -1).all()
        for row in range(4):
            words = loaded.batch.word_ids[row][batch.mask[row] & ~special[row]]
            assert words[0] == 0 and set(np.diff(words)) <= {0, 1}
            if batch.segment_ids is not None:
                pairs = set(
                    zip(words, batch.segment_ids[row][batch.mask[row] & ~special[row]], strict=True)
                )
                assert len(pairs) == len({word for word, _ in pairs})


def test_words_are_those_of_the_tokenizer():
    data = packed([{"text": "jumpings overlap sleptnews"}], batch_size=1, word_ids=True)
    loaded = next(data.stream())
    expected = tiny_tokenizer()(["jumpings overlap sleptnews"], return_words=True).words.tolist()
    mask = loaded.batch.texts[0].mask[0]
    assert loaded.batch.word_ids[0][mask].tolist() == expected
    assert len(expected) > 5  # Some word has more than one token.


def test_marks_of_words_become_numbers():
    # 0 goes on, 1 begins, 2 is special. Row 0 has two pieces, the second begins within a word;
    # row 1 has special tokens around a text; row 2 begins within a word.
    marks = np.array([1, 0, 1, 0, 1, 2, 1, 0, 2, 0, 0, 1], np.uint8)
    rows = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2])
    begins = np.zeros(12, bool)
    begins[[0, 3, 5, 9]] = True
    expected = [0, 0, 1, 2, 3, -1, 0, 0, -1, 0, 0, 1]
    assert number_words(marks, begins, rows).tolist() == expected
    none = np.zeros(0, np.int64)
    assert number_words(none, none == 0, none).tolist() == []


@every_packing
@settings(max_examples=10)
@given(stop=st.integers(0, 30))
def test_packed_data_resume_anywhere(packing, stop):
    source = texts(20)
    whole = take(packed(source, packing=packing).stream(), stop + 3)
    begun = packed(source, packing=packing).stream()
    for _ in range(stop):
        next(begun)
    resumed = packed(source, packing=packing).stream()
    resumed.set_state(json.loads(json.dumps(begun.get_state())))
    for expected in whole[stop:]:
        found = next(resumed)
        assert found.identity == expected.identity
        np.testing.assert_array_equal(found.batch.texts[0].ids, expected.batch.texts[0].ids)


@every_packing
def test_processes_hold_the_parts_of_the_packed_batches_of_one(packing):
    whole = take(packed(packing=packing, word_ids=True).stream(), 5)
    halves = [
        take(
            packed(packing=packing, word_ids=True).stream(process_index=p, process_count=2), 5
        )
        for p in range(2)
    ]  # fmt: skip
    for number, loaded in enumerate(whole):
        joined = np.concatenate([half[number].batch.texts[0].ids for half in halves])
        np.testing.assert_array_equal(joined, loaded.batch.texts[0].ids)
        joined = np.concatenate([half[number].batch.word_ids for half in halves])
        np.testing.assert_array_equal(joined, loaded.batch.word_ids)


@every_packing
def test_every_row_comes_once_per_epoch_in_an_order_of_its_own(packing):
    data = packed(texts(40), packing=packing, batch_size=1)
    expected = sorted(rows_of(data))
    batches = take(data.stream(), 2 * data.rows)
    rows = [b.batch.texts[0].ids[0][b.batch.texts[0].mask[0]].tolist() for b in batches]
    first, second = rows[: data.rows], rows[data.rows :]
    assert sorted(first) == sorted(second) == expected
    assert first != second


def test_tokens_of_a_kept_store_are_read_and_not_made_again(tmp_path, monkeypatch):
    source = texts(30)
    first = list(rows_of(packed(source, cache=tmp_path)))
    monkeypatch.setattr("textzoo.trainers.data.token_store._write", None)
    assert list(rows_of(packed(source, cache=tmp_path))) == first
    with pytest.raises(TypeError):
        packed(texts(31), cache=tmp_path)
    with pytest.raises(TypeError):
        packed(source, kind="bpe", cache=tmp_path)


def test_a_store_that_was_not_finished_is_made_again(tmp_path):
    def fail(texts, tokens):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        packed(cache=tmp_path, on_progress=fail)
    assert list(tmp_path.iterdir()) == []
    assert list(rows_of(packed(cache=tmp_path))) == list(rows_of(packed()))


def test_progress_tells_texts_and_tokens():
    told = []
    source = texts(3000, longest=6)
    packed(source, on_progress=lambda texts, tokens: told.append((texts, tokens)))
    totals = np.sum(told, axis=0).tolist()
    assert len(told) == 3
    assert totals == [3000, sum(map(len, own_tokens(source)))]


def test_a_mixture_packs_every_part_for_itself():
    parts = ([{"text": "fox"}] * 40, [{"text": "dog"}] * 40)
    data = packed(Mixture(parts=parts, weights=(1, 1), single_source_batches=True), batch_size=2)
    dog = own_tokens([{"text": "dog"}])[0]
    shares = [np.isin(b.batch.texts[0].ids, dog).any(axis=1).mean() for b in take(data.stream(), 8)]
    assert set(shares) == {0, 1} and sum(shares) == 4


def test_other_lengths_and_packings_are_other_data():
    state = packed().stream().get_state()
    for change, message in (
        ({"length": 12}, "length was 16"),
        ({"packing": "none"}, "packing was"),
    ):
        with pytest.raises(ResumeError, match=message):
            packed(**change).stream().set_state(state)


@pytest.mark.parametrize("kind", KINDS)
def test_special_tokens_are_found_around_a_text(kind):
    tokenizer = tiny_tokenizer(kind)
    first, last = ("[CLS]", "[SEP]") if kind == "wordpiece" else ("<s>", "</s>")
    expected = [tokenizer.token_to_id(first)], [tokenizer.token_to_id(last)]
    assert special_tokens(tokenizer) == expected
    assert special_tokens(tiny_tokenizer(kind, add_special_tokens=False)) == ([], [])


def test_options_that_cannot_work_are_refused():
    with pytest.raises(ConfigError, match="length=2 leaves no room.* 3 or more"):
        packed(length=2)
    with pytest.raises(ConfigError, match="packing='packed'; did you mean 'pack'"):
        packed(packing="packed")
    with pytest.raises(DataError, match="rows has 1 rows, fewer than batch_size=4"):
        packed([{"text": "fox"}]).stream()


def test_the_report_counts_pieces_tokens_and_padding():
    data = packed([{"text": "fox"}] * 8, batch_size=2, packing="none")
    take(data.stream(), 2)
    counts = data.report().counts
    size = len(own_tokens([{"text": "fox"}])[0]) + 2
    assert (counts.rows, counts.texts, counts.tokens) == (4, 4, 4 * size)
    assert counts.padding == 1 - size / 16
