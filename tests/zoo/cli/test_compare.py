import json

import pytest
from tiny_models import write_tiny_model


def test_similarity_of_arguments(textzoo, tiny):
    result = textzoo("similarity", "cat", "kitten", "car", "-m", tiny, "--json")
    table = json.loads(result.out)
    assert table["texts"] == ["cat", "kitten", "car"]
    scores = table["similarity"]
    assert scores[0][1] > 0.9 > scores[0][2]
    assert scores[0][0] == pytest.approx(1)
    assert scores[1][2] == pytest.approx(scores[2][1])


def test_similarity_table_has_a_row_per_text(textzoo, tiny):
    result = textzoo("similarity", "the cat [red]", "the dog", "-m", tiny)
    assert result.code == 0
    assert "the cat [red]" in result.out  # not taken for markup
    assert len(result.out.splitlines()) == 4


def test_similarity_reads_stdin(textzoo, tiny):
    assert "kitten" in textzoo("similarity", "-m", tiny, stdin="cat\nkitten\n").out


def test_similarity_puts_the_prompt_before_every_text(textzoo, tmp_path):
    model = write_tiny_model(tmp_path / "prompted", prompts={"query": "red red red "})
    arguments = ("similarity", "cat", "car", "-m", model, "--json", "--prompt")
    asked = json.loads(textzoo(*arguments, "query").out)["similarity"][0][1]
    plain = json.loads(textzoo(*arguments, "").out)["similarity"][0][1]
    assert asked > plain + 0.1


@pytest.mark.parametrize("count", [1, 41])
def test_similarity_needs_two_texts_and_not_too_many(textzoo, tiny, count):
    result = textzoo("similarity", *["cat"] * count, "-m", tiny)
    assert result.code == 2
    assert f"{count} texts; similarity compares 2 to 40" in result.err


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.tsv"
    path.write_text("id\tname\n1\tred car\n2\ta kitten\n3\tsea\n")
    return path


def test_search_finds_the_nearest_rows(textzoo, tiny, corpus):
    result = textzoo(
        "search", "cat", "truck", "--corpus", corpus, "-c", "name", "-k", 2, "-m", tiny, "--json"
    )
    answers = json.loads(result.out)
    assert [answer["query"] for answer in answers] == ["cat", "truck"]
    assert answers[0]["results"][0]["text"] == "a kitten"
    assert answers[0]["results"][0]["row"] == 1
    assert [len(answer["results"]) for answer in answers] == [2, 2]


def test_search_prints_queries_and_texts(textzoo, tiny, corpus):
    result = textzoo("search", "--corpus", corpus, "-c", "name", "-m", tiny, stdin="cat\n")
    assert result.out.splitlines()[0] == "cat"
    assert "a kitten" in result.out.splitlines()[1]


def test_search_gives_all_texts_when_k_is_larger(textzoo, tiny, corpus):
    result = textzoo("search", "cat", "--corpus", corpus, "-c", "name", "-k", 9, "-m", tiny)
    assert len([line for line in result.out.splitlines() if line.strip()]) == 4


def test_search_needs_a_corpus_and_a_k(textzoo, tiny, corpus, tmp_path):
    assert textzoo("search", "cat", "-m", tiny).code == 2
    missing = textzoo("search", "cat", "--corpus", tmp_path / "none.txt", "-m", tiny)
    assert "none.txt does not exist" in missing.err
    zero = textzoo("search", "cat", "--corpus", corpus, "-c", "name", "-k", 0, "-m", tiny)
    assert (zero.code, zero.err) == (2, "-k 0 finds nothing; use 1 or more\n")
