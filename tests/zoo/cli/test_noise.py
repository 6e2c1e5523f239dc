import json

import pytest


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "stsb"
    folder.mkdir()
    rows = ["cat\tkitten\t5", "cat\tcar\t1", "red cat\tred dog\t3", "the truck\tthe sea\t0"]
    (folder / "test.tsv").write_text("sentence1\tsentence2\tscore\n" + "\n".join(rows) + "\n")
    tables = tmp_path / "misspellings"
    tables.mkdir()
    (tables / "some.tsv").write_text("correct\tmisspelling\nkitten\tkiten\ntruck\ttruk\n")
    return tmp_path


def test_noise_prints_curves_and_writes_them_with_a_picture(textzoo, tiny, data, tmp_path):
    output = tmp_path / "noise.json"
    result = textzoo(
        "evaluate", tiny, "noise", "--data", data, "-o", output, "--noise.rates", 1.0,
        "--noise.sides", "one",
    )  # fmt: skip
    assert result.code == 0, result.err
    for word in ("stsb", "edits", "misspellings", "Spearman", "kept", "100.0%"):
        assert word in result.out
    record = json.loads(output.read_text())
    points = record["tasks"]["stsb"]["points"]
    assert len(points) == 1 + 2
    assert {"edits", "misspellings"} == set(record["noises"])
    whole = [point for point in points if point["noise"] == "misspellings"]
    # Of the six words that are asked, one is in the table.
    assert [point["changed"] for point in whole] == pytest.approx([1 / 6])
    assert output.with_suffix(".png").stat().st_size > 10_000


def test_options_choose_task_edits_and_table(textzoo, tiny, data):
    result = textzoo(
        "evaluate", tiny, "noise", "--data", data / "stsb" / "test.tsv", "--noise.tasks", "sts",
        "--noise.edits", "case", "--noise.rates", 1.0, "--noise.sides", "two",
    )  # fmt: skip
    assert result.code == 0, result.err
    assert "misspellings" not in result.out
    # The tiny tokenizer lower-cases.
    (line,) = [line for line in result.out.splitlines() if line.startswith("case")]
    assert line.split()[-1] == "100.0%"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["noise", "--data", "misspellings"], "has none of the folders stsb, ag_news, scifact"),
        (["noise", "--data", ".", "--noise.tasks", "stbs"], "did you mean 'sts' or 'stsb'"),
        (["noise", "--data", ".", "--noise.edits", "dorp"], "did you mean 'drop'"),
        (["noise", "--data", ".", "--noise.limit", "-1"], "use 1 or more, or 0"),
        (["noise", "--data", ".", "-o", "x.png"], "give the name of the JSON file"),
        (["stsb", "--data", ".", "--noise.limit", "5"], "belong to the task noise"),
    ],
)
def test_wrong_calls_are_refused_before_the_model_is_loaded(
    textzoo, data, monkeypatch, arguments, message
):
    monkeypatch.chdir(data)
    result = textzoo("evaluate", "no_such_model", *arguments)
    assert result.code == 2
    assert message in result.err
