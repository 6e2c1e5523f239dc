import json

import pytest

from textzoo.errors import ConfigError, DataError
from textzoo.recipes.recipe import DataSection, SourceConfig
from textzoo.recipes.rows import natural, open_sources, split_rows
from textzoo.trainers.data import RowsSource


def tsv(path, header, *rows):
    path.write_text("\n".join("\t".join(row) for row in (header, *rows)) + "\n")
    return SourceConfig(path=str(path))


def test_columns_of_a_file_get_the_names_of_the_recipe(tmp_path):
    tsv(tmp_path / "a.tsv", ("premise", "hypothesis"), ("p", "h"))
    config = SourceConfig(
        path=str(tmp_path / "a.tsv"), columns={"anchor": "premise", "positive": "hypothesis"}
    )
    [source], _ = open_sources([config], DataSection(columns=("anchor", "positive")))
    assert source[0] == {"anchor": "p", "positive": "h"}


def test_several_columns_of_a_file_are_joined(tmp_path):
    config = tsv(tmp_path / "a.tsv", ("title", "body", "label"), ("t", "b", "x"))
    section = DataSection(columns_in_files={"text": ("title", "body")}, labels="label")
    [source], _ = open_sources([config], section, labels="class")
    assert source[0] == {"text": "t b", "label": 0}
    with pytest.raises(ConfigError, match="only texts are joined"):
        wrong = DataSection(columns_in_files={"label": ("title", "body")}, labels="label")
        open_sources([config], wrong, labels="class")
    with pytest.raises(ConfigError, match="no 'txt'; did you mean 'text'"):
        open_sources([config], DataSection(columns_in_files={"txt": "title"}))


def test_rows_are_chosen_by_the_value_of_a_column(tmp_path):
    tsv(tmp_path / "a.tsv", ("text", "kind"), ("1", "x"), ("2", "y"), ("3", "x"))
    path = str(tmp_path / "a.tsv")
    [source], _ = open_sources([SourceConfig(path=path, where={"kind": "x"})], DataSection())
    assert [row["text"] for row in source.read(range(len(source)))] == ["1", "3"]
    with pytest.raises(DataError, match="no row with kind = 'z'"):
        open_sources([SourceConfig(path=path, where={"kind": "z"})], DataSection())


def test_classes_are_found_in_the_order_of_people(tmp_path):
    config = tsv(tmp_path / "a.tsv", ("text", "label"), ("a", "10"), ("b", "2"), ("c", "10"))
    [source], classes = open_sources([config], DataSection(labels="label"), labels="class")
    assert classes == ("2", "10")
    assert [row["label"] for row in source.read([0, 1, 2])] == [1, 0, 1]


def test_whole_numbers_are_classes_by_their_value(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"text": "a", "label": n}) + "\n" for n in (3, 1, 3)))
    section = DataSection(labels="label")
    [source], classes = open_sources([SourceConfig(path=str(path))], section, labels="class")
    assert classes == ("1", "3")
    assert [source[n]["label"] for n in range(3)] == [1, 0, 1]


def test_a_class_that_training_does_not_know_is_named(tmp_path):
    config = tsv(tmp_path / "dev.tsv", ("text", "label"), ("a", "bird"))
    with pytest.raises(DataError, match=r"dev\.tsv.*class 'bird', which is not among"):
        open_sources([config], DataSection(labels="label"), labels="class", classes=("cat", "dog"))


def test_rows_held_out_are_the_others(tmp_path):
    sources = [
        RowsSource([{"text": f"{name}{n}"} for n in range(count)], ("text",))
        for name, count in (("a", 30), ("b", 10))
    ]
    rest, taken = split_rows(sources, 0.25, seed=1)
    texts = [row["text"] for s in (*rest, *taken) for row in s.read(range(len(s)))]
    assert sum(map(len, taken)) == 10
    assert sorted(texts) == sorted(f"{n}{i}" for n, c in (("a", 30), ("b", 10)) for i in range(c))
    again = split_rows(sources, 0.25, seed=1)[1]
    assert [s.fingerprint for s in again] == [s.fingerprint for s in taken]
    other = split_rows(sources, 0.25, seed=2)[1]
    assert [s.fingerprint for s in other] != [s.fingerprint for s in taken]


def test_the_rest_of_a_source_is_not_mistaken_for_it(tmp_path):
    source = RowsSource([{"text": str(n)} for n in range(9)], ("text",))
    [rest], [taken] = split_rows([source], 3, seed=0)
    assert len({source.fingerprint, rest.fingerprint, taken.fingerprint}) == 3
    assert str(rest.reports()[0]) == "rows: 6 rows"


@pytest.mark.parametrize("held_out", [9, 20, 0.01])
def test_some_rows_must_be_left_and_some_taken(held_out):
    source = RowsSource([{"text": str(n)} for n in range(9)], ("text",))
    with pytest.raises(ConfigError, match="leave some to train on"):
        split_rows([source], held_out, seed=0)


def test_names_are_ordered_naturally():
    assert natural(["b2", "b10", "a", "b1"]) == ["a", "b1", "b2", "b10"]
    assert natural(["10", "2", "1.5"]) == ["1.5", "2", "10"]
