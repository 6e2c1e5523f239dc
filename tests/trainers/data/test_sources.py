import gzip
import json
import logging
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textzoo.errors import ConfigError, DataError
from textzoo.trainers.data import (
    ConcatenatedSource,
    Field,
    JsonlSource,
    ParquetSource,
    RowsSource,
    TextSource,
    TfdsSource,
    TsvSource,
    WithVectors,
    open_source,
    table_to_tfds,
)

LABEL = Field(name="label", kind="class", classes=("no", "yes"))
SCORE = Field(name="score", kind="score")
FIELDS = ("anchor", "positive", LABEL, SCORE)
ROWS = [
    {"anchor": f"a {i} \u00e9\u2028\u4f60", "positive": f'"p" {i}', "label": ["no", "yes"][i % 2],
     "score": i / 8}
    for i in range(50)
]  # fmt: skip
PARSED = [{**row, "label": i % 2} for i, row in enumerate(ROWS)]


def write_jsonl(path, rows=ROWS):
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wt", encoding="utf-8", newline="\n") as file:
        for row in rows:
            file.write((row if isinstance(row, str) else json.dumps(row)) + "\n")
    return path


def write_tsv(path, rows=ROWS):
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wt", encoding="utf-8", newline="\n") as file:
        for row in [dict(zip(rows[0], rows[0], strict=True)), *rows]:
            file.write("\t".join(str(value) for value in row.values()) + "\n")
    return path


def write_parquet(path, rows=ROWS):
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=7)
    return path


def write_tfds(path, rows=ROWS):
    return table_to_tfds(RowsSource(rows, FIELDS), path, name="pairs")


WRITERS = {
    "rows.jsonl": write_jsonl,
    "rows.jsonl.gz": write_jsonl,
    "rows.tsv": write_tsv,
    "rows.tsv.gz": write_tsv,
    "rows.parquet": write_parquet,
    "tfds": write_tfds,
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("with_cache", [False, True])
def test_every_format_gives_the_same_rows(name, with_cache, tmp_path):
    path = WRITERS[name](tmp_path / name)
    source = open_source(path, FIELDS, cache=tmp_path / "cache" if with_cache else None)
    assert [source[i] for i in range(len(source))] == PARSED
    order = np.random.default_rng(0).permutation(50)
    assert source.read(order) == [PARSED[i] for i in order]
    assert source.report.rows == 50 and source.report.broken == ()


@pytest.mark.parametrize("name", WRITERS)
def test_a_missing_column_is_named_with_those_there_are(name, tmp_path):
    path = WRITERS[name](tmp_path / name)
    with pytest.raises(DataError, match="no column 'anchr'; did you mean 'anchor'.*It has: "):
        open_source(path, ("anchr",))


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz", "rows.tsv", "rows.parquet"])
def test_a_missing_file_is_named(name, tmp_path):
    with pytest.raises(DataError, match=rf"{name} does not exist; check the path"):
        open_source(tmp_path / name, ("text",))


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.tsv", "a.tsv.gz", "a.txt"])
def test_an_empty_file_is_an_error(name, tmp_path):
    write_jsonl(tmp_path / name, [])
    with pytest.raises(DataError, match=r"a\..* expected (at least one row|a header line)"):
        open_source(tmp_path / name, ("text",))


@pytest.mark.parametrize("empty", [[], ()])
def test_no_rows_in_memory_are_an_error(empty):
    with pytest.raises(DataError, match="there are no rows"):
        open_source(empty, ("text",))


def test_a_tsv_file_with_a_header_alone_has_no_rows(tmp_path):
    (tmp_path / "a.tsv").write_text("text\n")
    with pytest.raises(DataError, match="there are no rows; expected at least one row"):
        TsvSource(tmp_path / "a.tsv", ("text",))


@pytest.fixture
def one_percent_broken(tmp_path):
    """1,000 lines, ten of them broken in ten ways."""
    lines = [json.dumps({"text": f"row {i}", "label": i % 2}) for i in range(1000)]
    broken = {
        7: '{"text": "cut of',
        90: "[1, 2]",
        151: '{"label": 1}',
        222: '{"text": null, "label": 1}',
        333: '{"text": 5, "label": 1}',
        404: '{"text": "x", "label": 2}',
        555: '{"text": "x", "label": "maybe"}',
        666: '{"text": "lone \\ud800", "label": 0}',
        777: "no json",
        1000: '{"text": "x"',
    }
    for number, line in broken.items():
        lines[number - 1] = line
    return write_jsonl(tmp_path / "broken.jsonl", lines), broken


def test_broken_rows_are_left_out_and_listed(one_percent_broken, caplog):
    path, broken = one_percent_broken
    with caplog.at_level(logging.WARNING):
        source = JsonlSource(path, ("text", LABEL))
    assert source.report.broken == tuple(broken)
    expected = [f"row {i}" for i in range(1000) if i + 1 not in broken]
    assert [row["text"] for row in source.read(range(len(source)))] == expected
    for part in ("10 of 1,000 rows are broken", "line 7: not JSON", "line 90: a JSON list"):
        assert part in caplog.text
    assert source.report.reasons[2:8] == (
        "'text' is missing from ['label']",
        "'text' is null",
        "'text' is int 5, expected text",
        "'label' is 2, expected 0 to 1",
        "'label' is str 'maybe', expected one of no, yes",
        "'text' has a lone surrogate",
    )


def test_broken_rows_are_refused_under_strict(one_percent_broken, tmp_path):
    path, _ = one_percent_broken
    with pytest.raises(DataError, match=r"broken.jsonl, line 7: not JSON.*without strict"):
        JsonlSource(path, ("text", LABEL), strict=True)
    JsonlSource(path, ("text", LABEL), cache=tmp_path)
    with pytest.raises(DataError, match=r"broken.jsonl, line 7: not JSON.*without strict"):
        JsonlSource(path, ("text", LABEL), strict=True, cache=tmp_path)


def test_a_file_of_broken_rows_alone_is_an_error(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", ["x", "y"])
    with pytest.raises(DataError, match=r"all 2 rows are broken \(line 1: not JSON"):
        JsonlSource(path, ("text",))


def test_rows_of_tsv_files_with_too_many_cells_are_broken(tmp_path):
    (tmp_path / "a.tsv").write_text("text\tlabel\na\t1\nb\tc\t1\n\nd\t0\n", "utf-8")
    source = TsvSource(tmp_path / "a.tsv", ("text",))
    assert [row["text"] for row in source.read([0, 1])] == ["a", "d"]
    assert source.report.broken == (3,)
    assert source.report.reasons == ("3 cells, but the header names 2 columns",)


def test_rows_that_are_not_utf8_are_broken(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbffirst\r\nsecond \xe9\n\nthird")
    source = TextSource(tmp_path / "a.txt", ("text",))
    assert [source[0], source[1]] == [{"text": "first"}, {"text": "third"}]
    assert source.report.broken == (2,)


def test_nulls_of_parquet_files_are_broken_rows(tmp_path):
    path = write_parquet(tmp_path / "a.parquet", [{"text": t} for t in ("a", None, "b")])
    source = ParquetSource(path, ("text",))
    assert source.read([0, 1]) == [{"text": "a"}, {"text": "b"}]
    assert source.report.broken == (2,)
    with pytest.raises(DataError, match="line 2: 'text' is null"):
        ParquetSource(path, ("text",), strict=True)


def test_damaged_files_are_named(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(DataError, match="a.parquet is not a whole Parquet file"):
        ParquetSource(tmp_path / "a.parquet", ("text",))
    packed = write_jsonl(tmp_path / "a.jsonl.gz").read_bytes()
    (tmp_path / "b.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    for cache in (None, tmp_path / "cache"):
        with pytest.raises(DataError, match="b.jsonl.gz is not a whole gzip file"):
            JsonlSource(tmp_path / "b.jsonl.gz", ("anchor",), cache=cache)


def test_an_unknown_ending_lists_the_known_ones(tmp_path):
    with pytest.raises(DataError, match=r"a.csv: the ending tells no format; expected one of \.js"):
        open_source(tmp_path / "a.csv", ("text",))


@pytest.mark.parametrize("name", ["a.jsonl", "a.txt"])
def test_a_file_that_shrinks_while_it_is_read_is_noticed(name, tmp_path):
    path = write_jsonl(tmp_path / name, [{"text": "some text"}] * 50)
    source = open_source(path, ("text",))
    with path.open("r+") as file:
        file.truncate(path.stat().st_size - 4)
    assert source[48]
    with pytest.raises(DataError, match="has changed since it was opened: row 49"):
        source[49]


def test_a_kept_index_is_used_until_the_file_changes(tmp_path, monkeypatch):
    path, cache = write_jsonl(tmp_path / "a.jsonl"), tmp_path / "cache"
    first = JsonlSource(path, ("anchor",), cache=cache)
    with monkeypatch.context() as patch:
        patch.setattr("textzoo.trainers.data.line_sources.index_lines", None)
        again = JsonlSource(path, ("anchor",), cache=cache)
    assert again.fingerprint == first.fingerprint
    assert again.read(range(50)) == first.read(range(50))
    write_jsonl(path, ROWS[:7])
    assert len(JsonlSource(path, ("anchor",), cache=cache)) == 7


def test_fingerprints_tell_content_and_columns_and_not_places(tmp_path):
    base = JsonlSource(write_jsonl(tmp_path / "a.jsonl"), ("anchor",)).fingerprint
    (tmp_path / "b").mkdir()
    moved = JsonlSource(write_jsonl(tmp_path / "b" / "c.jsonl.gz"), ("anchor",)).fingerprint
    column = JsonlSource(tmp_path / "a.jsonl", ("positive",)).fingerprint
    changed = [*ROWS[:-1], {**ROWS[-1], "anchor": "x"}]
    content = JsonlSource(write_jsonl(tmp_path / "d.jsonl", changed), ("anchor",)).fingerprint
    assert moved == base
    assert len({base, column, content}) == 3


def test_parquet_rows_have_the_fingerprint_of_the_same_rows_in_memory(tmp_path):
    source = ParquetSource(write_parquet(tmp_path / "a.parquet"), FIELDS)
    assert source.fingerprint == RowsSource(ROWS, FIELDS).fingerprint


def test_files_are_read_one_after_the_other(tmp_path):
    paths = [write_jsonl(tmp_path / "a.jsonl", ROWS[:20]), write_tsv(tmp_path / "b.tsv", ROWS[20:])]
    source = open_source(paths, FIELDS)
    assert isinstance(source, ConcatenatedSource)
    assert source.read(range(50)) == PARSED
    assert [report.rows for report in source.reports()] == [20, 30]


def test_sources_with_different_columns_are_not_joined():
    first, second = RowsSource(ROWS, ("anchor",)), RowsSource(ROWS, ("positive",))
    with pytest.raises(DataError, match="has the columns .'positive'., rows has .'anchor'."):
        ConcatenatedSource([first, second])


def test_an_open_source_must_have_the_columns():
    source = RowsSource(ROWS, ("anchor", "label"))
    assert open_source(source, ("anchor",)) is source
    with pytest.raises(DataError, match="without 'positive'; name it when"):
        open_source(source, ("positive",))
    with pytest.raises(DataError, match="kind='text'.*kind='class'"):
        open_source(source, ("anchor", LABEL))


def test_vectors_of_a_file_become_a_column(tmp_path):
    vectors = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float16)
    np.save(tmp_path / "v.npy", vectors)
    source = WithVectors(RowsSource(ROWS, ("anchor",)), "teacher", tmp_path / "v.npy")
    assert source[7]["anchor"] == ROWS[7]["anchor"]
    assert source[7]["teacher"].dtype == np.float32
    np.testing.assert_array_equal(source[7]["teacher"], vectors[7].astype(np.float32))
    assert source.fields[-1] == Field(name="teacher", kind="vector")
    changed = vectors.copy()
    changed[3] = 0
    np.save(tmp_path / "w.npy", changed)
    other = WithVectors(RowsSource(ROWS, ("anchor",)), "teacher", tmp_path / "w.npy")
    assert other.fingerprint != source.fingerprint


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((49, 2), np.float32), r"has 49 rows, rows has 50 \(0 broken"),
        (np.zeros((50, 2), np.int32), r"holds int32 \[50, 2\]; expected floats"),
        (np.zeros((50, 2, 2), np.float32), r"holds float32 \[50, 2, 2\]; expected floats"),
    ],
)
def test_vectors_that_do_not_fit_the_rows_are_refused(array, message, tmp_path):
    np.save(tmp_path / "v.npy", array)
    with pytest.raises(DataError, match=message):
        WithVectors(RowsSource(ROWS, ("anchor",)), "teacher", tmp_path / "v.npy")


def test_tfds_reads_a_written_table_without_tensorflow(tmp_path):
    import tensorflow_datasets as tfds

    splits = {"train": RowsSource(ROWS, FIELDS), "test": RowsSource(ROWS[:5], FIELDS)}
    path = table_to_tfds(splits, tmp_path, name="pairs")
    read = tfds.data_source("pairs", split="test", data_dir=str(tmp_path))
    assert [row["positive"].decode() for row in read] == [row["positive"] for row in ROWS[:5]]
    assert tfds.builder_from_directory(str(path)).info.features["label"].names == ["no", "yes"]
    assert open_source(f"{path}:test", FIELDS).read(range(5)) == PARSED[:5]
    assert "tensorflow" not in sys.modules
    with pytest.raises(DataError, match="no split 'tset'; did you mean 'test'"):
        TfdsSource(path, FIELDS, split="tset")
    with pytest.raises(DataError, match="exists; remove it"):
        table_to_tfds(splits, tmp_path, name="pairs")


def test_vectors_pass_through_tfds(tmp_path):
    fields = ("text", Field(name="v", kind="vector"))
    rows = [{"text": "a", "v": [0.5, i]} for i in range(3)]
    source = TfdsSource(table_to_tfds(RowsSource(rows, fields), tmp_path, name="v"), fields)
    assert [row["v"].tolist() for row in source.read(range(3))] == [[0.5, i] for i in range(3)]


def test_a_directory_without_a_dataset_is_refused(tmp_path):
    with pytest.raises(DataError, match="is not a prepared TFDS dataset"):
        TfdsSource(tmp_path, ("text",))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "txt"}, "unknown kind 'txt'; did you mean 'text'"),
        ({"classes": ("a",)}, "has classes, but is of kind 'text'"),
        ({"kind": "class", "classes": ("a", "a")}, "a class is named twice"),
    ],
)
def test_fields_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        Field(name="x", **options)


def test_a_column_named_twice_is_refused():
    with pytest.raises(ConfigError, match="'text' is named twice"):
        RowsSource(ROWS, ("text", Field(name="text", kind="score")))


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("class", "3", 3), ("class", True, 1), ("score", "0.5", 0.5), ("score", 2, 2.0),
        ("vector", "[1, 2.5]", [1, 2.5]), ("vector", (1, 2), [1, 2]),
    ],
)  # fmt: skip
def test_values_are_read_as_what_their_column_holds(kind, value, expected):
    assert np.asarray(Field(name="x", kind=kind).parse(value)).tolist() == expected


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("class", -1), ("class", 1.5), ("class", "a"), ("class", 1 << 31), ("score", "x"),
        ("score", float("nan")), ("score", True), ("score", [1]), ("vector", []), ("vector", "[1"),
        ("vector", [[1]]), ("vector", [1, None]), ("vector", [float("inf")]), ("text", b"a"),
    ],
)  # fmt: skip
def test_values_of_another_kind_are_broken(kind, value):
    with pytest.raises(ValueError, match="'x' is .*expected"):
        Field(name="x", kind=kind).parse(value)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1))
def test_any_text_survives_jsonl(tmp_path_factory, texts):
    path = tmp_path_factory.mktemp("any") / "a.jsonl"
    write_jsonl(path, [{"text": text} for text in texts])
    source = JsonlSource(path, ("text",), strict=True)
    assert [row["text"] for row in source.read(range(len(source)))] == texts
