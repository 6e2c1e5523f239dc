import gzip
import json

import numpy as np
import pytest

TEXTS = ["the cat sat", "a red car", "", "kitten"]


@pytest.fixture
def lines(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text("".join(f"{text}\n" for text in TEXTS), encoding="utf-8")
    return path


@pytest.fixture
def vectors(tiny):
    import textzoo

    return textzoo.load(tiny).encode(TEXTS)


def test_stdin_becomes_json_lines_on_stdout(textzoo, tiny, vectors):
    result = textzoo("encode", "-m", tiny, stdin="\n".join(TEXTS))
    assert result.code == 0
    rows = [json.loads(line) for line in result.out.splitlines()]
    assert [row["text"] for row in rows] == TEXTS
    np.testing.assert_array_equal(np.array([r["vector"] for r in rows], np.float32), vectors)


def test_npy_holds_one_row_per_line(textzoo, tiny, lines, vectors, tmp_path):
    result = textzoo("encode", lines, "-m", tiny, "-o", tmp_path / "out.npy")
    assert result.code == 0, result.err
    assert result.out == ""
    found = np.load(tmp_path / "out.npy")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, vectors)


def test_npy_is_the_same_when_written_in_many_blocks(
    textzoo, tiny, lines, vectors, tmp_path, monkeypatch
):
    import textzoo.cli.encode as command

    monkeypatch.setattr(command, "_BLOCK", 3)
    textzoo("encode", lines, lines, "-m", tiny, "-o", tmp_path / "out.npy")
    np.testing.assert_allclose(
        np.load(tmp_path / "out.npy"), np.concatenate([vectors, vectors]), atol=1e-6
    )


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.gz"])
def test_jsonl_file(textzoo, tiny, lines, vectors, tmp_path, name):
    textzoo("encode", lines, "-m", tiny, "-o", tmp_path / name)
    data = (tmp_path / name).read_bytes()
    text = gzip.decompress(data) if name.endswith(".gz") else data
    rows = [json.loads(line) for line in text.decode().splitlines()]
    np.testing.assert_array_equal(np.array([r["vector"] for r in rows], np.float32), vectors)


def test_parquet_file(textzoo, tiny, lines, vectors, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    textzoo("encode", lines, "-m", tiny, "-o", tmp_path / "out.parquet")
    table = parquet.read_table(tmp_path / "out.parquet")
    assert table.column("text").to_pylist() == TEXTS
    found = np.array(table.column("vector").to_pylist(), np.float32)
    np.testing.assert_array_equal(found, vectors)


def test_a_folder_gets_vectors_that_can_be_continued(textzoo, tiny, lines, vectors, tmp_path):
    arguments = ("encode", lines, "-m", tiny, "-o", tmp_path / "folder")
    assert textzoo(*arguments).code == 0
    np.testing.assert_allclose(np.load(tmp_path / "folder" / "vectors.npy"), vectors, atol=1e-6)
    assert textzoo(*arguments).code == 0


@pytest.mark.parametrize(
    ("name", "content", "arguments"),
    [
        ("a.tsv", "id\ttext\n1\tthe cat\n2\ta car\n", []),
        ("a.tsv", "only\nthe cat\na car\n", []),
        ("a.tsv", "id\tbody\n1\tthe cat\n2\ta car\n", ["--column", "body"]),
        ("a.jsonl", '{"id": 1, "sentence": "the cat"}\n\n{"sentence": "a car"}\n', []),
        ("a.jsonl", '{"body": "the cat"}\n{"body": "a car"}\n', ["-c", "body"]),
        ("a.txt", "\ufeffthe cat\r\na car\r\n", []),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_texts_are_read_from_usual_files(textzoo, tiny, tmp_path, name, content, arguments, zipped):
    path = tmp_path / (f"{name}.gz" if zipped else name)
    data = content.encode()
    path.write_bytes(gzip.compress(data) if zipped else data)
    result = textzoo("encode", path, "-m", tiny, *arguments)
    assert result.code == 0, result.err
    assert [json.loads(line)["text"] for line in result.out.splitlines()] == ["the cat", "a car"]


def test_column_of_stdin_means_json_objects(textzoo, tiny):
    result = textzoo("encode", "-m", tiny, "-c", "body", stdin='{"body": "the cat"}\n')
    assert json.loads(result.out)["text"] == "the cat"


def test_line_separators_inside_a_text_do_not_cut_it(textzoo, tiny):
    result = textzoo("encode", "-m", tiny, stdin="the\u2028cat\x0csat\n")
    assert json.loads(result.out)["text"] == "the\u2028cat\x0csat"


def test_truncate_dim(textzoo, tiny):
    result = textzoo("encode", "-m", tiny, "--truncate-dim", "3", stdin="cat\n")
    assert len(json.loads(result.out)["vector"]) == 3


def test_prompt(textzoo, tmp_path):
    from tiny_models import write_tiny_model

    model = write_tiny_model(tmp_path / "prompted", prompts={"query": "red sea ", "document": ""})
    asked = textzoo("encode", "-m", model, "--prompt", "query", stdin="cat\n")
    plain = textzoo("encode", "-m", model, "--prompt", "document", stdin="red sea cat\n")
    assert json.loads(asked.out)["vector"] == json.loads(plain.out)["vector"]
    assert textzoo("encode", "-m", model, stdin="cat\n").code == 2


def test_texts_that_were_cut_are_counted_over_all_blocks(textzoo, tiny, tmp_path, monkeypatch):
    import textzoo.cli.encode as command

    monkeypatch.setattr(command, "_BLOCK", 2)
    long = "cat " * 50
    result = textzoo(
        "encode", "-m", tiny, "-o", tmp_path / "out.npy", stdin=f"cat\n{long}\n{long}\n"
    )
    assert result.code == 0
    assert "2 of 3 texts were cut to 16 tokens" in result.err


def failure(result):
    assert result.code == 2
    assert result.out == ""
    assert "Traceback" not in result.err
    return result.err


def test_empty_stdin_is_an_error(textzoo, tiny):
    assert "no text in stdin" in failure(textzoo("encode", "-m", tiny))


def test_empty_file_is_an_error(textzoo, tiny, tmp_path):
    (tmp_path / "empty.txt").write_text("")
    assert "no text in" in failure(textzoo("encode", tmp_path / "empty.txt", "-m", tiny))


def test_unknown_model_is_an_error(textzoo):
    assert "no_such_model" in failure(textzoo("encode", "-m", "no_such_model", stdin="a\n"))


@pytest.mark.parametrize("name", ["out.csv", "out.npy.gz", "out.parquet.gz"])
def test_unknown_output_format_is_an_error(textzoo, tiny, tmp_path, name):
    error = failure(textzoo("encode", "-m", tiny, "-o", tmp_path / name, stdin="a\n"))
    assert "use one of .npy, .jsonl, .jsonl.gz, .parquet" in error


def test_unwritable_output_is_an_error_before_the_model_is_loaded(textzoo, tmp_path):
    place = tmp_path / "nowhere" / "out.npy"
    error = failure(textzoo("encode", "-m", "no_such_model", "-o", place, stdin="a\n"))
    assert f"{place} cannot be written" in error


def test_a_failed_run_leaves_no_file(textzoo, tiny, tmp_path):
    (tmp_path / "out.npy").write_bytes(b"before")
    error = failure(
        textzoo("encode", "-m", tiny, "-o", tmp_path / "out.npy", stdin=b"good\n\xff\n")
    )
    assert "stdin, line 2: byte 0 is not UTF-8" in error
    assert [path.name for path in tmp_path.iterdir()] == ["out.npy"]
    assert (tmp_path / "out.npy").read_bytes() == b"before"


@pytest.mark.parametrize(
    ("name", "content", "arguments", "message"),
    [
        ("a.tsv", "x\ty\n1\t2\n", [], "choose one with --column"),
        ("a.tsv", "x\ty\n1\t2\n", ["-c", "z"], "has no column 'z'"),
        ("a.tsv", "x\ty\n1\n", ["-c", "x"], "line 2: 1 cells"),
        ("a.txt", "x\n", ["-c", "z"], "read as one text per line"),
        ("a.jsonl", "{]\n", [], "line 1 is not JSON"),
        ("a.jsonl", "[1]\n", [], "holds a list"),
        ("a.jsonl", '{"text": 1}\n', [], "'text' is a int, expected text"),
        ("a.jsonl", '{"text": "a"}\n{"txet": "b"}\n', [], "no key 'text'; did you mean 'txet'"),
        ("a.txt.gz", "not gzip\n", [], "not a whole gzip file"),
    ],
)
def test_damaged_input_is_named(textzoo, tiny, tmp_path, name, content, arguments, message):
    (tmp_path / name).write_text(content)
    output = tmp_path / "out.npy"
    result = textzoo("encode", tmp_path / name, "-m", tiny, "-o", output, *arguments)
    assert message in failure(result)
    assert not output.exists()
