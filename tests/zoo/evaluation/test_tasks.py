import gzip
import inspect
import json

import pytest
from fake_encoders import TableEncoder

from textzoo.cli.evaluate import evaluate as evaluate_command
from textzoo.errors import DataError
from textzoo.evaluation import TASKS, evaluate, read_task
from textzoo.evaluation.tasks import UnknownTaskError


def write(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{line}\n" for line in lines)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")


@pytest.fixture
def beir(tmp_path):
    write(
        tmp_path / "corpus.jsonl.gz",
        json.dumps({"_id": "1", "title": "Cats", "text": "purr"}),
        json.dumps({"_id": "2", "title": "", "text": "bark"}),
    )
    write(tmp_path / "queries.jsonl", json.dumps({"_id": "q", "text": "pets", "split": "test"}))
    write(tmp_path / "qrels.test.tsv", "query-id\tcorpus-id\tscore", "q\t2\t1")
    return tmp_path


def test_stsb_reads_the_asked_split(tmp_path):
    write(tmp_path / "test.tsv", "sentence1\tsentence2\tscore", "a\tb\t2.5", "c\td\t0")
    write(tmp_path / "dev.tsv", "score\tsentence2\tsentence1", "5\ty\tx", "1\tw\tv")
    assert list(read_task("stsb", tmp_path).scores) == [2.5, 0]
    assert list(read_task("stsb", tmp_path, "dev").first) == ["x", "v"]


def test_the_folder_above_works_too(tmp_path):
    write(tmp_path / "stsb" / "test.tsv", "sentence1\tsentence2\tscore", "a\tb\t1", "c\td\t2")
    assert len(read_task("stsb", tmp_path)) == 2


def test_sts_reads_one_file_of_any_name(tmp_path):
    write(tmp_path / "mine.tsv.gz", "sentence1\tsentence2\tscore", "a\tb\t1", "c\td\t2")
    assert len(read_task("sts", tmp_path / "mine.tsv.gz")) == 2


def test_beir_joins_title_and_text(beir):
    data = read_task("scifact", beir)
    assert data.corpus == {"1": "Cats purr", "2": "bark"}
    assert data.queries == {"q": "pets"}
    assert data.qrels == {"q": {"2": 1}}


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("qrels/test.tsv", ["query-id\tcorpus-id\tscore", "q\t1\t2"]),
        ("qrels.jsonl", [json.dumps({"query-id": "q", "corpus-id": "1", "score": 2})]),
    ],
)
def test_beir_finds_judgments_where_published_data_has_them(beir, name, lines):
    (beir / "qrels.test.tsv").unlink()
    write(beir / name, *lines)
    assert read_task("beir", beir).qrels == {"q": {"1": 2}}


def test_ag_news_joins_title_and_description(tmp_path):
    for name in ("train.tsv.gz", "test.tsv"):
        write(tmp_path / name, "label\ttitle\tdescription", "1\tWar\tand peace", "2\tGoal\t!")
    data = read_task("ag_news", tmp_path)
    assert list(data.train.texts) == ["War and peace", "Goal !"]
    assert list(data.test.labels) == ["1", "2"]


def test_tasks_without_a_split_are_cross_validated(tmp_path):
    write(tmp_path / "data.tsv", "label\tsentence", "0\tbad", "1\tgood")
    data = read_task("cr", tmp_path)
    assert data.test is None
    assert list(data.train.texts) == ["bad", "good"]


def test_generic_classification_reads_one_file(tmp_path):
    write(tmp_path / "mine.tsv", "text\tlabel", "bad\t0", "good\t1")
    assert list(read_task("classification", tmp_path / "mine.tsv").train.labels) == ["0", "1"]


def test_cells_may_hold_quotes_and_line_separators(tmp_path):
    write(tmp_path / "test.tsv", "sentence1\tsentence2\tscore", 'a "b\tc\u2028d\t1', "e\tf\t2")
    data = read_task("stsb", tmp_path)
    assert (data.first[0], data.second[0]) == ('a "b', "c\u2028d")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "is empty; expected a header"),
        (["sentence1\tscore"], "no column 'sentence2'; its first line names: sentence1, score"),
        (["sentence1\tsentence2\tscore"], "holds 0 pairs"),
        (["sentence1\tsentence2\tscore", "a\tb"], "line 2: 2 cells, but the header names 3"),
        (
            ["sentence1\tsentence2\tscore", "a\tb\t1", "a\tb\thigh"],
            "line 3: score 'high' is not a number",
        ),
        (
            ["sentence1\tsentence2\tscore", "a\tb\t1", "a\tb\tnan"],
            "line 3: score 'nan' is not a number",
        ),
    ],
)
def test_damaged_pairs_are_named_with_their_line(tmp_path, lines, message):
    write(tmp_path / "test.tsv", *lines)
    with pytest.raises(DataError, match=message):
        read_task("stsb", tmp_path)


def test_bytes_that_are_not_text_are_named_with_their_line(tmp_path):
    (tmp_path / "test.tsv").write_bytes(b"sentence1\tsentence2\tscore\na\t\xff\t1\n")
    with pytest.raises(DataError, match="line 2: byte 2 is not UTF-8"):
        read_task("stsb", tmp_path)


def test_a_cut_gzip_file_is_named(tmp_path):
    whole = gzip.compress(b"sentence1\tsentence2\tscore\n" + b"a\tb\t1\n" * 1000)
    (tmp_path / "test.tsv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="not a whole gzip file"):
        read_task("stsb", tmp_path)


def test_a_missing_file_is_named_with_what_is_there(tmp_path):
    write(tmp_path / "dev.tsv", "x")
    with pytest.raises(DataError, match=r"has no test.tsv \(plain or .gz\); it holds: dev.tsv"):
        read_task("stsb", tmp_path)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere does not exist"):
        read_task("stsb", tmp_path / "nowhere")


def test_beir_needs_a_folder(tmp_path):
    write(tmp_path / "corpus.jsonl", "{}")
    with pytest.raises(DataError, match="is not a folder"):
        read_task("beir", tmp_path / "corpus.jsonl")


def test_beir_names_a_missing_key(beir):
    write(beir / "queries.jsonl", json.dumps({"_id": "q", "txt": "pets"}))
    with pytest.raises(DataError, match="no key 'text'; did you mean 'txt'"):
        read_task("beir", beir)


def test_beir_without_judgments_is_an_error(beir):
    write(beir / "qrels.test.tsv", "query-id\tcorpus-id\tscore")
    with pytest.raises(DataError, match="holds no rows"):
        read_task("beir", beir)


def test_unknown_task_suggests_the_nearest(tmp_path):
    with pytest.raises(UnknownTaskError, match="did you mean 'scifact'"):
        read_task("sci_fact", tmp_path)


def test_evaluate_measures_what_the_task_is(beir, tmp_path):
    encoder = TableEncoder({"pets": [1, 0], "Cats purr": [1, 0], "bark": [0.9, 0.4]})
    assert evaluate(encoder, "beir", beir).mrr_at_10 == 0.5


def test_help_of_the_command_names_every_task():
    for name in TASKS:
        assert name in inspect.getdoc(evaluate_command)
