"""Spans of texts in training rows."""

import json

import numpy as np
import pytest
from tiny_encoder import tiny_tokenizer

from textzoo.errors import ConfigError, DataError
from textzoo.trainers.data import Column, Field, Reading, TextData
from textzoo.trainers.data.fields import BrokenValueError

ROWS = [
    {"text": "the fox jumps", "where": [[0, 7], [[0, 3], [8, 13]]], "what": ["a", 7]},
    {"text": "cats \U0001f600 slept", "where": [[7, 12]], "what": ["a"]},
    {"text": "a dog", "where": [], "what": []},
]


def column(**options):
    return Column(**{"name": "text", "spans": "where", "span_labels": "what", **options})


def batch_of(rows=None, *, columns=None, **options):
    data = TextData(
        ROWS if rows is None else rows, tiny_tokenizer(), columns=columns or (column(),),
        batch_size=len(ROWS if rows is None else rows), lengths=(16, 32), shuffle=False,
        reading=Reading(threads=0), **options,
    )  # fmt: skip
    stream = data.stream()
    try:
        return next(stream).batch
    finally:
        stream.close()


def covered(text, tokens, mask):
    offsets = tiny_tokenizer()([text], return_offsets=True).offsets[: len(mask)]
    return [text[a:b] for (a, b), is_in in zip(offsets, mask, strict=False) if is_in]


def test_spans_are_masks_over_the_tokens_of_their_text():
    batch = batch_of()
    (texts,), (labels,) = batch.texts, batch.span_labels
    assert texts.spans.shape == (3, 16, 16) and labels.shape == (3, 16)
    assert "".join(covered(ROWS[0]["text"], texts, texts.spans[0, 0])) == "thefox"
    assert "".join(covered(ROWS[0]["text"], texts, texts.spans[0, 1])) == "thejumps"
    assert "".join(covered(ROWS[1]["text"], texts, texts.spans[1, 0])) == "slept"
    assert not texts.spans[2].any() and not texts.spans[0, 2:].any()
    assert (labels >= 0).sum(axis=1).tolist() == [2, 1, 0]


def test_equal_labels_are_equal_numbers_in_every_row_and_column():
    rows = [{**row, "other": row["text"], "there": row["where"], "so": row["what"]} for row in ROWS]
    columns = (column(), column(name="other", spans="there", span_labels="so", max_spans=4))
    batch = batch_of(rows, columns=columns)
    first, second = batch.span_labels
    assert first[0, 0] == first[1, 0] == second[0, 0] != first[0, 1]
    np.testing.assert_array_equal(first[:, :4], second)


def test_a_prefix_does_not_move_spans():
    (plain,), (prefixed,) = batch_of().texts, batch_of(columns=(column(prefix="dog "),)).texts
    extra = prefixed.mask[0].sum() - plain.mask[0].sum()
    assert extra > 0
    np.testing.assert_array_equal(prefixed.spans[:, :, extra:], plain.spans[:, :, :-extra])


def test_spans_behind_the_cut_are_no_spans():
    text = "fox " * 40
    row = {"text": text, "where": [[0, 3], [150, 154], [[0, 3], [150, 154]]], "what": [1, 2, 3]}
    batch = batch_of([row])
    assert (batch.span_labels[0][0] >= 0).tolist() == [True, False, True] + [False] * 13


def test_rows_that_fill_a_batch_up_have_no_spans():
    data = TextData(
        ROWS, tiny_tokenizer(), columns=(column(),), batch_size=2, reading=Reading(threads=0)
    )
    *_, last = data.evaluation_batches()
    assert last.batch.row_mask.tolist() == [True, False]
    assert (last.batch.span_labels[0] == -1).all()


def test_a_table_has_spans_as_json(tmp_path):
    path = tmp_path / "rows.tsv"
    lines = [f"{r['text']}\t{json.dumps(r['where'])}\t{json.dumps(r['what'])}" for r in ROWS]
    path.write_text("\n".join(["text\twhere\twhat", *lines]) + "\n", encoding="utf-8")
    data = TextData(
        path, tiny_tokenizer(), columns=(column(),), batch_size=3, lengths=(16, 32), shuffle=False,
        reading=Reading(threads=0),
    )  # fmt: skip
    stream = data.stream()
    batch, plain = next(stream).batch, batch_of()
    stream.close()
    np.testing.assert_array_equal(batch.texts[0].spans, plain.texts[0].spans)
    np.testing.assert_array_equal(batch.span_labels[0], plain.span_labels[0])


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("spans", 3), ("spans", [3]), ("spans", [[1]]), ("spans", [[2, 2]]), ("spans", [[-1, 2]]),
        ("spans", [[0.5, 2]]), ("spans", "no"), ("spans", [[]]), ("span_labels", 3),
        ("span_labels", [1.5]), ("span_labels", [None]), ("span_labels", "{"),
    ],
)  # fmt: skip
def test_what_is_no_list_of_spans_is_a_broken_value(kind, value):
    with pytest.raises(BrokenValueError, match="'x' is"):
        Field(name="x", kind=kind).parse(value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"what": ["a"]}, "2 spans in 'where' and 1 labels in 'what'"),
        ({"where": [[0, 99]], "what": [1]}, r"where\[0\]\[0\] has \(0, 99\).*'the fox jumps'"),
        (
            {"where": [[0, 3]] * 17, "what": [1] * 17},
            "has 17 spans in 'where', and max_spans is 16",
        ),
    ],
)
def test_rows_whose_spans_do_not_fit_are_named(changes, message):
    with pytest.raises(DataError, match=message):
        batch_of([{**ROWS[0], **changes}])


def test_options_that_do_not_go_together():
    with pytest.raises(ConfigError, match="name both columns"):
        Column(name="text", spans="where")
    with pytest.raises(ConfigError, match="max_spans=0"):
        column(max_spans=0)
    with pytest.raises(ConfigError, match="offsets, which spans need"):
        batch_of(tokenize_ahead=True)
    with pytest.raises(ConfigError, match="'text' has no spans, and others have"):
        batch_of(
            [{**row, "other": row["text"]} for row in ROWS],
            columns=("text", column(name="other")),
        )
