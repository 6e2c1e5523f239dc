import json

import pytest


@pytest.fixture
def pairs(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text("sentence1\tsentence2\tscore\ncat\tkitten\t5\ncat\tcar\t1\ncat\tcat\t5.5\n")
    return path


def test_evaluate_prints_a_table_and_writes_json(textzoo, tiny, pairs, tmp_path):
    output = tmp_path / "result.json"
    result = textzoo("evaluate", tiny, "sts", "--data", pairs, "-o", output)
    assert result.code == 0, result.err
    assert "spearman" in result.out
    assert "100.00" in result.out
    record = json.loads(output.read_text())
    assert record["spearman"] == pytest.approx(1)
    assert (record["task"], record["split"], record["model"]) == ("sts", "test", tiny)


def test_evaluate_retrieval(textzoo, tiny, tmp_path):
    documents = [{"_id": "1", "text": "kitten"}, {"_id": "2", "title": "red", "text": "car"}]
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in documents))
    (tmp_path / "queries.jsonl").write_text(json.dumps({"_id": "q", "text": "cat"}) + "\n")
    (tmp_path / "qrels.dev.tsv").write_text("query-id\tcorpus-id\tscore\nq\t1\t1\n")
    result = textzoo("evaluate", tiny, "beir", "--data", tmp_path, "--split", "dev")
    assert result.code == 0, result.err
    for measure in ("nDCG@10", "MRR@10", "recall@1", "recall@100"):
        assert measure in result.out


def test_evaluate_classification(textzoo, tiny, tmp_path):
    (tmp_path / "animals.tsv").write_text(
        "label\ttext\n" + "yes\tcat sat\nno\tred car\n" * 10 + "yes\tkitten\n"
    )
    data = tmp_path / "animals.tsv"
    result = textzoo("evaluate", tiny, "classification", "--data", data)
    assert result.code == 0, result.err
    assert "accuracy" in result.out
    assert "100.00" in result.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sci_fact"], "no task is named 'sci_fact'; did you mean 'scifact'"),
        (["sts", "--split", "x"], "has no x.tsv"),
        (["trec"], "has no train.tsv or data.tsv"),
    ],
)
def test_wrong_tasks_and_data_are_named_before_the_model_is_loaded(
    textzoo, tmp_path, arguments, message
):
    result = textzoo("evaluate", "no_such_model", *arguments, "--data", tmp_path)
    assert result.code == 2
    assert message in result.err


def test_output_needs_a_folder(textzoo, tiny, pairs, tmp_path):
    place = tmp_path / "nowhere" / "x.json"
    result = textzoo("evaluate", tiny, "sts", "--data", pairs, "-o", place)
    assert result.code == 2
    assert "does not exist" in result.err
