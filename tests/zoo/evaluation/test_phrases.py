import itertools
import json

import numpy as np
import pytest
from fake_encoders import TableEncoder

from textzoo.errors import DataError
from textzoo.evaluation import (
    ChoiceData,
    ClusteringData,
    LabeledPairs,
    LabeledTexts,
    MatchingData,
    NameTable,
    choice,
    clustering,
    evaluate,
    matching,
    pair_probe,
    read_task,
)
from textzoo.evaluation.clustering import (
    k_means,
    matched_accuracy,
    normalized_mutual_information,
)
from textzoo.evaluation.pair_probe import _Probe, score_pairs


def test_the_largest_product_is_chosen_and_a_tie_is_wrong():
    table = {"q": [1, 0], "near": [0.9, 0], "long": [5, 9], "same": [0.9, 1], "far": [0, 1]}
    data = ChoiceData(
        questions=["q", "q", "q"], answers=[("near", "far"), ("near", "long"), ("near", "same")]
    )
    found = choice(TableEncoder(table), data)
    assert found.accuracy == pytest.approx(1 / 3)
    assert (found.chance, found.questions) == (0.5, 3)


def test_names_are_looked_up_in_their_own_table():
    table = {"nyc": [1, 0.1], "New York": [1, 0], "Paris": [0, 1], "la": [0.1, 1], "LA": [1, 0.2]}
    one = NameTable(queries=["nyc", "la"], candidates=["New York", "Paris"],
                    answers=["New York", "New York"])  # fmt: skip
    two = NameTable(queries=["la"], candidates=["LA", "Paris"], answers=["Paris"])
    found = matching(TableEncoder(table), MatchingData(tables={"one": one, "two": two}))
    assert found.tables == {"one": 0.5, "two": 1.0}
    assert found.accuracy == 0.75
    assert (found.queries, found.candidates) == (3, 4)


def test_mutual_information_by_hand():
    """Four items, of which one is in the wrong group: I = H - H(a|b)."""
    a, b = [0, 0, 1, 1], [0, 0, 0, 1]
    p = np.array([[0.5, 0.0], [0.25, 0.25]])
    rows, columns = p.sum(1), p.sum(0)
    information = sum(
        p[i, j] * np.log(p[i, j] / rows[i] / columns[j])
        for i, j in itertools.product(range(2), repeat=2) if p[i, j]
    )  # fmt: skip
    mean = -(rows @ np.log(rows) + columns @ np.log(columns)) / 2
    assert normalized_mutual_information(a, b) == pytest.approx(information / mean)
    assert normalized_mutual_information(a, [7, 7, 3, 3]) == pytest.approx(1)
    assert normalized_mutual_information(a, [0, 1, 0, 1]) == pytest.approx(0, abs=1e-12)
    assert normalized_mutual_information([1, 1], [2, 2]) == 1
    assert matched_accuracy([5, 5, 9, 9], b) == 0.75


def test_k_means_finds_groups_that_stand_apart():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 25)
    vectors = (rng.normal(size=(4, 6))[labels] * 9 + rng.normal(size=(100, 6))).astype(np.float32)
    found = k_means(vectors, 4)
    assert normalized_mutual_information(found, labels) == pytest.approx(1)
    np.testing.assert_array_equal(found, k_means(vectors, 4))
    assert set(k_means(np.ones((5, 2), np.float32), 2)) <= {0, 1}
    with pytest.raises(ValueError, match="clusters=3 of 2 vectors"):
        k_means(vectors[:2], 3)


def test_clusters_are_as_many_as_labels():
    table = {"a": [0, 1], "b": [0.1, 1], "c": [1, 0], "d": [1, 0.1]}
    texts = LabeledTexts(texts=list("abcd"), labels=["x", "x", "y", "y"])
    found = clustering(TableEncoder(table), ClusteringData(texts=texts))
    assert found.nmi == pytest.approx(1) and found.accuracy == 1
    assert (found.texts, found.clusters) == (4, 2)


def test_the_probes_gradients_are_those_of_its_loss():
    rng = np.random.default_rng(0)
    probe = _Probe(6, rng)
    probe.parameters = [p.astype(np.float64) for p in probe.parameters]
    x, y = rng.normal(size=(9, 6)), rng.integers(0, 2, 9).astype(float)

    def loss():
        logits = probe.logits(x)
        return np.mean(np.logaddexp(0, logits) - y * logits)

    for place, gradient in enumerate(probe.gradients(x, y)):
        flat = probe.parameters[place].reshape(-1)
        for index in (0, flat.size // 2):
            before = flat[index]
            values = []
            for change in (1e-5, -1e-5):
                flat[index] = before + change
                values.append(loss())
            flat[index] = before
            slope = (values[0] - values[1]) / 2e-5
            assert gradient.reshape(-1)[index] == pytest.approx(slope, abs=1e-7)


def test_adam_is_that_of_the_paper():
    import optax

    rng = np.random.default_rng(0)
    probe = _Probe(4, rng)
    x, y = rng.normal(size=(5, 4)).astype(np.float32), np.array([1, 0, 0, 1, 1], np.float32)
    rule = optax.adam(1e-4)
    expected = [p.copy() for p in probe.parameters]
    state = rule.init(expected)
    for _ in range(3):
        updates, state = rule.update(probe.gradients(x, y), state)
        expected = optax.apply_updates(expected, updates)
        probe.step(x, y)
        for ours, theirs in zip(probe.parameters, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=2e-7)


def test_a_probe_learns_what_a_product_would_not_need():
    rng = np.random.default_rng(0)
    labels = rng.random(600) < 0.5
    first = rng.normal(size=(600, 8)).astype(np.float32)
    first[:, 0] = np.where(labels, 3, -3)
    found = score_pairs(first, first[::-1].copy(), labels)
    assert found.accuracy > 0.95 and found.pairs == 90
    assert 0.5 <= found.majority < 0.65
    assert score_pairs(first, first[::-1].copy(), labels) == found
    with pytest.raises(DataError, match="needs 20 or more"):
        score_pairs(first[:5], first[:5], labels[:5])


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.fixture
def folder(tmp_path):
    write(
        tmp_path / "bird/dev.tsv",
        "pair\tterm1\tterm2\trelatedness_score\n-\ta\tb\t0.5\n-\ta\tc\t1\n",
    )
    write(
        tmp_path / "turney/dev.tsv",
        "bigram\tsolution\tother1\tother2\tother3\tother4\tother5\tother6\na\tb\ta\ta\tc\td\te\tf\n",
    )
    pairs = "".join(f"{x}\t{y}\t{'pos' if x < y else 'neg'}\n" for x in "abcdef" for y in "abcdef")
    write(tmp_path / "ppdb_filtered/dev.tsv", f"phrase1\tphrase2\tlabel\n{pairs}")
    write(tmp_path / "yago_alias/dev.tsv", "mention\tentity\na\tb\nc\tb\ne\tf\n")
    write(tmp_path / "autofj/City.left.tsv", "id\ttitle\n0\tb\n1\tf\n")
    write(tmp_path / "autofj/City.right.tsv", "id\ttitle\n0\ta\n1\td\n2\te\n")
    write(tmp_path / "autofj/City.gt.tsv", "id_l\ttitle_l\tid_r\ttitle_r\n0\tb\t0\ta\n1\tf\t2\te\n")
    rows = [{"tokens": ["a", "b", "c"], "ner": [[0, 1, "X"], [2, 2, "Y"]]}]
    write(tmp_path / "bc5cdr/dev.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    write(tmp_path / "short_text_clustering/stackoverflow.tsv", "label\ttext\n1\ta\n2\tb\n")
    return tmp_path


ENCODER = TableEncoder(
    {"a": [1, 0], "b": [0.9, 0.1], "c": [0.7, 0.7], "d": [0, 1], "e": [-1, 0], "f": [-1, 0.2],
     "a b": [1, 0.1]},
)  # fmt: skip


def test_every_task_is_read_from_its_files(folder):
    assert list(read_task("bird", folder, "dev").scores) == [0.5, 1]
    assert read_task("turney", folder, "dev").answers == [("b", "c", "d", "e", "f")]
    assert read_task("ppdb_filtered", folder, "dev").labels.sum() == 15
    assert read_task("yago_alias", folder, "dev").tables["dev"].candidates == ["b", "f"]
    table = read_task("autofj", folder).tables["City"]
    assert (table.queries, table.answers) == (["a", "e"], ["b", "f"])
    assert read_task("bc5cdr", folder, "dev").texts.texts == ["a b", "c"]
    assert read_task("stackoverflow", folder).texts.labels == ["1", "2"]


def test_the_suite_is_the_mean_of_its_tasks(folder):
    found = evaluate(ENCODER, "phrases", folder, split="dev")
    alone = {name: evaluate(ENCODER, name, folder, split="dev").to_dict() for name in found.tasks}
    for name, score in found.tasks.items():
        measure = {"bird": "pearson", "bc5cdr": "nmi"}.get(name, "accuracy")
        assert score == alone[name][measure]
    assert set(found.tasks) == {"bird", "turney", "ppdb_filtered", "yago_alias", "autofj", "bc5cdr"}
    assert found.mean == pytest.approx(np.mean(list(found.tasks.values())))
    assert found.tasks["turney"] == found.tasks["autofj"] == 1


def test_files_that_are_missing_or_wrong_are_named(folder):
    with pytest.raises(DataError, match=r"has no test\.tsv.*it holds: dev\.tsv"):
        read_task("bird", folder, "test")
    with pytest.raises(DataError, match="has none of the folders bird, turney"):
        read_task("phrases", folder / "bird")
    with pytest.raises(DataError, match=r"has no <table>\.gt\.tsv"):
        read_task("autofj", folder / "bird")
    write(folder / "ppdb_filtered/dev.tsv", "phrase1\tphrase2\tlabel\na\tb\tyes\n")
    with pytest.raises(DataError, match="label 'yes' is neither pos nor neg"):
        read_task("ppdb_filtered", folder, "dev")


def test_the_command_shows_every_task(folder, capsys):
    from textzoo.cli.evaluate import result_table
    from textzoo.cli.terminal import stdout

    stdout().print(result_table(evaluate(ENCODER, "phrases", folder, split="dev")))
    shown = capsys.readouterr().out
    assert "mean" in shown and "ppdb_filtered" in shown and "100.00" in shown


def test_pairs_are_encoded_once_each():
    encoder = TableEncoder({name: np.eye(4)[i] for i, name in enumerate("abcd")})
    pairs = list(itertools.product("abcd", repeat=2)) * 2
    data = LabeledPairs(
        first=[a for a, _ in pairs], second=[b for _, b in pairs],
        labels=np.array([a == b for a, b in pairs]),
    )  # fmt: skip
    assert pair_probe(encoder, data).pairs == 4
    assert len(encoder.calls[0][1]) == 4
