import json

import numpy as np
import pytest
from tiny_encoder import tiny_tokenizer

from textzoo.errors import ConfigError, DataError, ResumeError
from textzoo.trainers.data import Column, Field, Mixture, Reading, RowsSource, TextData, text_key

AT_ONCE = Reading(threads=0)


def rows(count, name="row"):
    return [
        {"text": f"{name} {i} " + "fox " * (i % 5), "other": f"dog {i}", "label": i % 3}
        for i in range(count)
    ]


def text_data(source=None, **options):
    settings = {"columns": ("text",), "batch_size": 8, "lengths": (8, 32), "reading": AT_ONCE}
    source = rows(20) if source is None else source
    return TextData(source, tiny_tokenizer(), **{**settings, **options})


def take(stream, count):
    found = [next(stream) for _ in range(count)]
    stream.close()
    return found


def row_numbers(data, count):
    """Rows of the first batches, told by their keys."""
    known = {text_key(row["text"]): i for i, row in enumerate(rows(1000))}
    batches = take(data.stream(), count)
    return [[known[int(key)] for key in batch.batch.keys[:, 0]] for batch in batches]


def assert_equal(first, second):
    for left, right in zip(first.batch.texts, second.batch.texts, strict=True):
        np.testing.assert_array_equal(left.ids, right.ids)
        np.testing.assert_array_equal(left.mask, right.mask)
    for name in ("labels", "targets", "keys", "word_ids", "row_mask"):
        np.testing.assert_array_equal(getattr(first.batch, name), getattr(second.batch, name))


def test_texts_are_the_tokens_of_the_tokenizer_padded():
    (loaded,) = take(text_data(shuffle=False).stream(), 1)
    tokenized = tiny_tokenizer()([row["text"] for row in rows(8)])
    (texts,) = loaded.batch.texts
    for row in range(8):
        begin, end = tokenized.starts[row : row + 2]
        assert texts.ids[row][texts.mask[row]].tolist() == tokenized.ids[begin:end].tolist()
    assert texts.mask.sum() == loaded.tokens == len(tokenized.ids)
    assert loaded.examples == 8


def test_columns_are_tokenized_each_for_itself():
    (loaded,) = take(text_data(columns=("text", "other"), shuffle=False).stream(), 1)
    for name, texts in zip(("text", "other"), loaded.batch.texts, strict=True):
        for row in range(8):
            expected = tiny_tokenizer()([rows(8)[row][name]]).ids.tolist()
            assert texts.ids[row][texts.mask[row]].tolist() == expected


def test_every_row_comes_once_per_epoch():
    numbers = np.concatenate(row_numbers(text_data(keys=True), 10))
    for epoch in range(4):
        assert sorted(numbers[epoch * 20 : (epoch + 1) * 20]) == list(range(20))


def test_epochs_and_seeds_have_orders_of_their_own():
    first = np.concatenate(row_numbers(text_data(keys=True), 10)).reshape(4, 20)
    other = np.concatenate(row_numbers(text_data(keys=True, seed=1), 10)).reshape(4, 20)
    orders = {tuple(order) for order in (*first, *other)}
    assert len(orders) == 8


@pytest.mark.parametrize("process_count", [2, 4, 8])
def test_processes_hold_the_parts_of_the_batches_of_one(process_count):
    options = {"lengths": (32,), "labels": "label", "keys": True, "word_ids": True}
    whole = take(text_data(**options).stream(), 4)
    parts = [
        take(text_data(**options).stream(process_index=p, process_count=process_count), 4)
        for p in range(process_count)
    ]
    for number, batch in enumerate(whole):
        for name in ("labels", "keys", "word_ids"):
            joined = np.concatenate([getattr(part[number].batch, name) for part in parts])
            np.testing.assert_array_equal(joined, getattr(batch.batch, name))
        joined = np.concatenate([part[number].batch.texts[0].ids for part in parts])
        np.testing.assert_array_equal(joined, batch.batch.texts[0].ids)
        assert {part[number].examples for part in parts} == {8}


@pytest.mark.parametrize("options", [{}, {"labels": "label", "keys": True, "word_ids": True}])
def test_batches_prepared_together_are_those_prepared_one_by_one(options):
    options = {**options, "columns": ("text", "other"), "batch_size": 3, "lengths": (4, 8, 32)}
    data = text_data(Mixture(parts=(rows(20), rows(9, "more"))), **options)
    together = text_data(
        Mixture(parts=(rows(20), rows(9, "more"))), **options, reading=Reading(threads=2)
    )
    for left, right in zip(take(data.stream(), 50), take(together.stream(), 50), strict=True):
        assert_equal(left, right)
        assert (left.identity, left.tokens) == (right.identity, right.tokens)
    assert data.report().counts == together.report().counts


def test_a_batch_that_cannot_be_read_stops_none_of_those_before_it():
    class Damaged(RowsSource):
        def __getitem__(self, index):
            if index == 13:
                raise DataError("row 13 is damaged")
            return super().__getitem__(index)

    source = Damaged(rows(20), ("text",))
    data = text_data(source, batch_size=2, shuffle=False, reading=Reading(threads=2))
    stream = data.stream()
    for number in range(6):
        assert next(stream).identity.startswith(f"batch {number}:")
    for _ in range(2):
        with pytest.raises(DataError, match="row 13 is damaged"):
            next(stream)
    assert stream.get_state()["position"] == {"next_index": 6}
    stream.set_state({**stream.get_state(), "position": {"next_index": 4}})
    assert next(stream).identity.startswith("batch 4:")
    stream.set_state({**stream.get_state(), "position": {"next_index": 8}})
    assert next(stream).identity.startswith("batch 8:")
    stream.close()
    with pytest.raises(ValueError, match="closed"):
        next(stream)


@pytest.mark.parametrize("threads", [0, 2])
@pytest.mark.parametrize("stop", range(13))
def test_a_resumed_stream_gives_the_batches_that_would_have_come(stop, threads):
    options = {"labels": "label", "keys": True, "reading": Reading(threads=threads, ahead=3)}
    whole = take(text_data(**options).stream(), 15)
    begun = text_data(**options).stream()
    for _ in range(stop):
        next(begun)
    state = json.loads(json.dumps(begun.get_state()))
    begun.close()
    resumed = text_data(**options).stream()
    next(resumed)
    resumed.set_state(state)
    for expected in whole[stop:]:
        found = next(resumed)
        assert_equal(found, expected)
        assert found.identity == expected.identity
    resumed.close()


def test_a_stream_resumes_on_another_number_of_processes():
    data = text_data(keys=True)
    stream = data.stream()
    next(stream)
    state = stream.get_state()
    expected = next(stream).batch.keys
    halves = []
    for process in range(2):
        half = data.stream(process_index=process, process_count=2)
        half.set_state(state)
        halves.append(next(half).batch.keys)
        half.close()
    stream.close()
    np.testing.assert_array_equal(np.concatenate(halves), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "seed was 0, is 1"),
        ({"batch_size": 4}, "batch_size was 8, is 4"),
        ({"source": rows(21)}, "sources was"),
        ({"columns": ("other",)}, "columns was"),
        ({"shuffle": False}, "shuffle was True, is False"),
    ],
)
def test_a_position_in_other_data_is_refused(change, message):
    stream, other = text_data().stream(), text_data(**change).stream()
    with pytest.raises(ResumeError, match=message):
        other.set_state(stream.get_state())


def test_what_is_no_position_is_refused():
    with pytest.raises(ResumeError, match="expected what get_state returned"):
        text_data().stream().set_state({"next_index": 3})


def test_a_batch_takes_the_smallest_length_that_fits():
    short = [{"text": "fox"}] * 4 + [{"text": "fox " * 9}] * 4
    batches = take(text_data(short, batch_size=4, shuffle=False).stream(), 2)
    assert [batch.batch.texts[0].ids.shape for batch in batches] == [(4, 8), (4, 32)]


def test_several_processes_take_the_longest_length():
    (batch,) = take(text_data([{"text": "a"}] * 8).stream(process_index=1, process_count=2), 1)
    assert batch.batch.texts[0].ids.shape == (4, 32)


def test_longer_texts_are_cut_counted_and_end_with_a_special_token():
    data = text_data([{"text": "fox " * 50}, {"text": "fox"}], batch_size=2, lengths=(8,))
    (loaded,) = take(data.stream(), 1)
    counts = data.report().counts
    assert (counts.cut, counts.texts, counts.places) == (1, 2, 16)
    end = tiny_tokenizer().token_to_id("[SEP]")
    assert end in loaded.batch.texts[0].ids[:, 7]


def test_the_first_text_that_is_cut_is_worth_a_warning(caplog):
    data = text_data([{"text": "fox " * 50}, {"text": "fox"}], batch_size=2, lengths=(8,))
    take(data.stream(), 3)
    assert [record.getMessage() for record in caplog.records] == [
        "1 of the 2 texts of a batch are longer than the longest length, and their ends are cut "
        "off; report() counts them"
    ]


def test_columns_have_prefixes_and_lengths_of_their_own():
    columns = (Column(name="text", prefix="quick "), Column(name="other", lengths=(4, 16)))
    (loaded,) = take(text_data(columns=columns, shuffle=False).stream(), 1)
    texts, others = loaded.batch.texts
    expected = tiny_tokenizer()(["quick " + rows(1)[0]["text"]]).ids.tolist()
    assert texts.ids[0][texts.mask[0]].tolist() == expected
    assert others.ids.shape[1] in (4, 16)


def test_keys_are_equal_for_equal_texts_in_any_column():
    source = [
        {"text": "caf\u00e9", "other": "cafe\u0301"},
        {"text": "fox", "other": "dog"},
        {"text": "dog", "other": "Fox"},
    ]
    data = text_data(source, columns=("text", "other"), keys=True, batch_size=3, shuffle=False)
    keys = take(data.stream(), 1)[0].batch.keys
    assert keys[0, 0] == keys[0, 1]
    assert keys[1, 1] == keys[2, 0]
    assert len(np.unique(keys)) == 4
    assert keys.dtype == np.uint32


def test_the_key_of_a_text_is_the_same_everywhere():
    assert text_key("fox") == 0x0FA0E0E6  # zlib.crc32(b"fox")
    assert text_key("cafe\u0301") == 0x98AD42B5  # of b"caf\xc3\xa9"


def test_labels_are_classes_by_name_or_scores():
    source = [{"text": "a", "name": name, "score": i / 4} for i, name in enumerate("cab")]
    named = Field(name="name", kind="class", classes=("a", "b", "c"))
    score = Field(name="score", kind="score")
    options = {"batch_size": 3, "shuffle": False}
    classes = take(text_data(source, labels=named, **options).stream(), 1)[0].batch.labels
    scores = take(text_data(source, labels=score, **options).stream(), 1)[0].batch.labels
    assert classes.dtype == np.int32 and classes.tolist() == [2, 0, 1]
    assert scores.dtype == np.float32 and scores.tolist() == [0, 0.25, 0.5]


def test_targets_are_vectors_or_scores_side_by_side():
    source = [{"text": "a", "v": [i, 1.5], "p": i / 2, "q": -i} for i in range(3)]
    options = {"batch_size": 3, "shuffle": False}
    vectors = take(text_data(source, targets="v", **options).stream(), 1)[0].batch.targets
    fields = tuple(Field(name=name, kind="score") for name in "pq")
    scores = take(text_data(source, targets=fields, **options).stream(), 1)[0].batch.targets
    assert vectors.tolist() == [[0, 1.5], [1, 1.5], [2, 1.5]]
    assert scores.tolist() == [[0, 0], [0.5, -1], [1, -2]]


def test_target_vectors_of_different_widths_are_refused():
    data = text_data([{"text": "a", "v": [1]}, {"text": "b", "v": [1, 2]}], targets="v",
                     batch_size=2)  # fmt: skip
    with pytest.raises(DataError, match=r"'v' has vectors of different widths \(1, 2\)"):
        next(data.stream())


def test_words_are_numbered_from_zero_in_each_row():
    data = text_data([{"text": "the foxes sat"}] * 2, batch_size=2, word_ids=True)
    (loaded,) = take(data.stream(), 1)
    words, mask = loaded.batch.word_ids, loaded.batch.texts[0].mask
    assert words.dtype == np.int32
    assert (words[~mask] == -1).all()
    real = words[0][mask[0]].tolist()
    assert real[0] == real[-1] == -1
    assert sorted(set(real[1:-1])) == [0, 1, 2] and real[1:-1] == sorted(real[1:-1])


def test_evaluation_gives_every_row_once_in_order_and_fills_up_the_last_batch():
    data = text_data(keys=True, labels="label")
    batches = list(data.evaluation_batches())
    keys = np.concatenate([b.batch.keys[b.batch.row_mask, 0] for b in batches])
    assert keys.tolist() == [text_key(row["text"]) for row in rows(20)]
    assert [batch.examples for batch in batches] == [8, 8, 4]
    assert batches[-1].batch.row_mask.tolist() == [True] * 4 + [False] * 4
    assert not batches[-1].batch.texts[0].mask[4:].any()
    assert {batch.batch.labels.shape for batch in batches} == {(8,)}


def test_processes_share_the_evaluation():
    data = text_data(keys=True, lengths=(32,))
    whole = [batch.batch for batch in data.evaluation_batches()]
    parts = [
        [b.batch for b in data.evaluation_batches(process_index=p, process_count=4)]
        for p in range(4)
    ]
    for number, batch in enumerate(whole):
        for name in ("keys", "row_mask"):
            joined = np.concatenate([getattr(part[number], name) for part in parts])
            np.testing.assert_array_equal(joined, getattr(batch, name))


def test_a_source_shorter_than_a_batch_can_be_evaluated_but_not_trained_on():
    data = text_data(rows(3))
    assert sum(batch.examples for batch in data.evaluation_batches()) == 3
    with pytest.raises(DataError, match="rows has 3 rows, fewer than batch_size=8.* at most 3"):
        data.stream()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size=0; expected 1 or more"),
        ({"seed": -1}, "seed=-1; expected 0 or more"),
        ({"columns": ()}, r"columns=\(\); name the text columns"),
        ({"columns": "text"}, "name the text columns"),
        ({"lengths": (0,)}, "expected positive numbers"),
        ({"lengths": (8, 64)}, "cuts texts to 32 tokens.*max_length=64"),
    ],
)
def test_options_that_cannot_work_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        text_data(**options)


def test_processes_that_cannot_share_a_batch_are_refused():
    with pytest.raises(ConfigError, match="batch_size=8 cannot be shared by 3 processes"):
        text_data().stream(process_count=3)
    with pytest.raises(ConfigError, match="process_index=2 of process_count=2"):
        text_data().stream(process_index=2, process_count=2)


def test_a_batch_says_where_its_rows_come_from():
    stream = text_data(rows(4), batch_size=4, shuffle=False).stream()
    assert next(stream).identity == "batch 0: epoch 0, rows: rows 0, 1, 2, 3"
    assert next(stream).identity == "batch 1: epoch 1, rows: rows 0, 1, 2, 3"
    stream.close()


def test_a_mixture_takes_rows_by_weight():
    parts = (rows(30, "a"), rows(10, "b"))
    data = text_data(Mixture(parts=parts, weights=(1, 3)), keys=True)
    own = {text_key(row["text"]) for row in parts[0]}
    batches = take(data.stream(), 10)
    from_first = sum(int(key) in own for batch in batches for key in batch.batch.keys[:, 0])
    assert from_first == 20


def test_batches_of_one_source_are_chosen_by_weight():
    parts = (rows(30, "a"), rows(10, "b"))
    mixture = Mixture(parts=parts, weights=(1, 3), single_source_batches=True)
    own = {text_key(row["text"]) for row in parts[0]}
    shares = [
        np.mean([int(key) in own for key in batch.batch.keys[:, 0]])
        for batch in take(text_data(mixture, keys=True).stream(), 40)
    ]
    assert set(shares) == {0, 1} and sum(shares) == 10


def test_tokens_beforehand_give_the_same_batches(tmp_path):
    options = {"columns": ("text", Column(name="other", prefix="a ")), "labels": "label",
               "keys": True, "word_ids": True}  # fmt: skip
    now = take(text_data(**options).stream(), 6)
    for cache in (None, tmp_path, tmp_path):
        ahead = take(text_data(**options, tokenize_ahead=True, cache=cache).stream(), 6)
        for left, right in zip(now, ahead, strict=True):
            assert_equal(left, right)
            assert left.tokens == right.tokens
    assert len(list(tmp_path.glob("tokens-*"))) == 2


def test_tokens_beforehand_count_what_was_cut_too():
    source = [{"text": "fox " * 50}, {"text": "fox"}]
    data = text_data(source, batch_size=2, lengths=(8,), tokenize_ahead=True)
    take(data.stream(), 1)
    assert data.report().counts.cut == 1


def test_tokens_beforehand_mix_sources():
    mixture = Mixture(parts=(rows(30, "a"), rows(10, "b")), weights=(1, 3))
    now = take(text_data(mixture, keys=True).stream(), 5)
    ahead = take(text_data(mixture, keys=True, tokenize_ahead=True).stream(), 5)
    for left, right in zip(now, ahead, strict=True):
        assert_equal(left, right)


def test_processes_agree_on_the_length_when_texts_are_tokenized_beforehand():
    source = [{"text": "fox"}] * 7 + [{"text": "fox " * 9}] + [{"text": "fox"}] * 8
    data = text_data(source, shuffle=False, tokenize_ahead=True)
    parts = [take(data.stream(process_index=p, process_count=2), 2) for p in range(2)]
    shapes = [[b.batch.texts[0].ids.shape for b in part] for part in parts]
    assert shapes[0] == shapes[1] == [(4, 32), (4, 8)]


def grouped(**options):
    source = [{"text": "fox " * (1 + i % 13)} for i in range(64)]
    return text_data(
        source, lengths=(4, 8, 12, 16, 32), tokenize_ahead=True, batch_size=4, **options
    )


def grouped_batches(window):
    return take(grouped(group_by_length=window).stream(), window)


def test_texts_of_similar_length_share_a_batch():
    plain, close = grouped(), grouped(group_by_length=8)
    for data in (plain, close):
        take(data.stream(), 16)
    counts = [data.report().counts for data in (plain, close)]
    assert counts[0].tokens == counts[1].tokens
    assert counts[1].padding < counts[0].padding / 2


def test_grouping_keeps_every_row_once_per_window_and_the_order_random():
    source = rows(64)
    data = text_data(source, tokenize_ahead=True, group_by_length=4, keys=True, batch_size=4)
    keys = [b.batch.keys[:, 0].tolist() for b in take(data.stream(), 32)]
    known = sorted(text_key(row["text"]) for row in source)
    assert sorted(sum(keys[:16], [])) == sorted(sum(keys[16:], [])) == known
    lengths = [b.tokens for b in grouped_batches(16)]
    assert lengths != sorted(lengths)  # Of one window.


def test_grouped_batches_resume_and_are_shared_by_processes():
    whole = take(grouped(group_by_length=3, keys=True).stream(), 12)
    halves = []
    for process in range(2):
        stream = grouped(group_by_length=3, keys=True).stream(
            process_index=process, process_count=2
        )
        begun = grouped(group_by_length=3, keys=True).stream()
        for _ in range(5):
            next(begun)
        stream.set_state(begun.get_state())
        halves.append(take(stream, 7))
    for number, loaded in enumerate(whole[5:]):
        joined = np.concatenate([half[number].batch.texts[0].ids for half in halves])
        np.testing.assert_array_equal(joined, loaded.batch.texts[0].ids)


def test_grouping_needs_lengths_and_mixed_batches():
    with pytest.raises(ConfigError, match="group_by_length=4 needs the lengths"):
        text_data(group_by_length=4)
    mixture = Mixture(parts=(rows(20), rows(20, "b")), single_source_batches=True)
    with pytest.raises(ConfigError, match="choose one of them"):
        text_data(mixture, group_by_length=4, tokenize_ahead=True)


def test_a_process_without_rows_to_evaluate_has_targets_of_the_right_width():
    source = [{"text": "a", "v": [1, 2, 3]}] * 2
    data = text_data(source, targets="v", batch_size=4)
    (last,) = data.evaluation_batches(process_index=1, process_count=2)
    assert last.batch.targets.shape == (2, 3) and not last.batch.row_mask.any()


def test_an_error_in_a_row_reaches_whoever_asked_for_the_batch():
    data = text_data([{"text": "a", "v": [1] * (1 + i % 2)} for i in range(8)], targets="v",
                     reading=Reading(threads=2))  # fmt: skip
    stream = data.stream()
    with pytest.raises(DataError, match="different widths"):
        next(stream)
    stream.close()


def test_a_tokenizer_that_cuts_shorter_texts_must_be_changeable():
    class Fixed:
        max_length, vocab_size = 32, 400

    with pytest.raises(ConfigError, match="give a Fixed with max_length=8"):
        TextData(rows(9), Fixed(), columns=("text",), batch_size=2, lengths=(8,))


def test_the_report_is_readable():
    data = text_data([{"text": "fox"}] * 8 + [{"text": None}])
    take(data.stream(), 1)
    first, second = str(data.report()).splitlines()
    assert first == "rows: 1 of 9 rows are broken (line 9: 'text' is null)"
    assert second.startswith("handed out: 8 rows, 8 texts, ")
