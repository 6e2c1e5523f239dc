import gzip
import json
from pathlib import Path

import pytest

from textzoo.trainers.text_sources import (
    TextSource,
    collect_texts,
    comparison_key,
    split_sentences,
)


@pytest.fixture
def captions(tmp_path):
    path = tmp_path / "captions.tsv"
    path.write_text('id\ttext\n1\tA "red" dog.\n2\tA cat.\n3\ta Cat\n4\tTwo birds.\n', "utf-8")
    return path


def test_a_source_is_a_path_with_columns_and_a_limit():
    assert TextSource.parse("a/b.tsv.gz:x,y:7") == TextSource(
        path=Path("a/b.tsv.gz"), columns=("x", "y"), limit=7
    )
    assert TextSource.parse("a.txt") == TextSource(path=Path("a.txt"))


def test_a_limit_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="'many'"):
        TextSource.parse("a.tsv:x:many")


def test_quotes_in_tsv_files_are_text(captions):
    assert next(TextSource.parse(f"{captions}:text").read()) == 'A "red" dog.'


def test_compressed_jsonl_is_read(tmp_path):
    path = tmp_path / "books.jsonl.gz"
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write(json.dumps({"title": "t", "text": "Eins.\nZwei."}) + "\n")
    assert list(TextSource.parse(f"{path}:text").read()) == ["Eins.\nZwei."]


def test_an_unknown_column_names_the_known_ones(captions):
    with pytest.raises(ValueError, match=r"\['id', 'text'\]"):
        list(TextSource.parse(f"{captions}:caption").read())


def test_texts_that_differ_in_case_and_marks_count_once(captions):
    collected = collect_texts([TextSource.parse(f"{captions}:text")])
    assert set(collected.texts) == {'A "red" dog.', "A cat.", "Two birds."}
    assert len(collected.texts) == 3
    assert collected.excluded == 0


def test_texts_of_evaluations_are_left_out_and_counted(captions, tmp_path):
    held = tmp_path / "held.txt"
    held.write_text("two BIRDS\na horse\n", "utf-8")
    collected = collect_texts(
        [TextSource.parse(f"{captions}:text")], exclude=[TextSource.parse(str(held))]
    )
    assert sorted(map(comparison_key, collected.texts)) == ["a cat", "a red dog"]
    assert collected.excluded == 1


def test_a_limited_draw_depends_on_the_seed_alone(tmp_path):
    path = tmp_path / "many.txt"
    path.write_text("\n".join(f"text {i}" for i in range(50)), "utf-8")
    source = [TextSource.parse(f"{path}::10")]
    first, again, other = (collect_texts(source, seed=seed).texts for seed in (0, 0, 1))
    assert first == again != other
    assert len(first) == len(other) == 10


def test_long_texts_are_cut_into_sentences(tmp_path):
    path = tmp_path / "book.txt"
    sentence = "One two three four five six seven eight nine ten."
    path.write_text(f"{sentence} Another one ends here! " + f"{sentence} " * 3, "utf-8")
    collected = collect_texts([TextSource.parse(str(path))], max_words=20)
    assert sorted(collected.texts) == ["Another one ends here!", sentence]


def test_sentences_end_before_a_capital_and_at_paragraphs():
    assert split_sentences('He came. "Why?" she asked.\n\nMr. X went\nhome.') == [
        "He came.", '"Why?" she asked.', "Mr.", "X went home.",
    ]  # fmt: skip
