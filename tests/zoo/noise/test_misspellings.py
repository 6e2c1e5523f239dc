import pytest

from textzoo.errors import ConfigError, DataError
from textzoo.noise import MisspellingNoise, MisspellingTable, read_misspellings, share_changed

TABLE = MisspellingTable(
    {
        "receive": (("recieve", 1.0),),
        "they're": (("theyre", 1.0),),
        "their": (("thier", 3.0), ("there", 1.0)),
    }
)


def noise(rate: float = 1.0, **options) -> MisspellingNoise:
    return MisspellingNoise(table=TABLE, rate=rate, **options)


@pytest.fixture
def table_file(tmp_path):
    path = tmp_path / "table.tsv"
    lines = [
        "correct\tmisspelling", "Receive\tRecieve", "receive\treceave", "a_lot\talot",
        "hear, here,\theer", "by one, disabled for now\tbyone", "cat\tCat", "alot\ta_lot",
    ]  # fmt: skip
    path.write_text("\n".join(lines) + "\n")
    return path


def test_words_are_misspelled_in_their_case():
    text = "They’re THEY'RE receive Receive RECEIVE, unreceived"
    assert noise()([text]) == ["Theyre THEYRE recieve Recieve RECIEVE, unreceived"]


def test_the_rate_is_the_share_of_all_words():
    many = [f"their receive their receive {number}x" for number in range(400)]
    assert noise(0.25).corrupt(many[0]).size == 5
    assert share_changed(noise(0.25), many) == pytest.approx(0.25, abs=0.02)
    # Of five words four are in the table: more cannot be.
    assert share_changed(noise(1.0), many) == pytest.approx(0.8)
    assert noise(0.0)(many) == many


def test_misspellings_are_as_frequent_as_the_table_says():
    found = [noise(seed=seed)(["their"])[0] for seed in range(800)]
    assert set(found) == {"thier", "there"}
    assert found.count("thier") == pytest.approx(600, abs=50)  # deviation: 12


def test_a_text_has_the_same_mistakes_in_any_company():
    texts = ["their receive", "receive it", "their own"]
    assert noise(0.5)(texts[::-1]) == noise(0.5)(texts)[::-1]
    assert noise(0.5, seed=2)(["their receive " * 9]) != noise(0.5)(["their receive " * 9])


def test_tables_are_read(table_file):
    table = read_misspellings(table_file)
    assert table.words == {
        "receive": (("recieve", 1.0), ("receave", 1.0)),
        "hear": (("heer", 1.0),),
        "here": (("heer", 1.0),),
        "alot": (("a lot", 1.0),),
    }
    assert table.fingerprint == MisspellingTable(table.words).fingerprint != TABLE.fingerprint


def test_counts_are_added_up_over_files(tmp_path, table_file):
    path = tmp_path / "counted.tsv"
    path.write_text("correct\tmisspelling\tcount\nreceive\trecieve\t4\n")
    table = read_misspellings(table_file, path)
    assert table.words["receive"] == (("recieve", 5.0), ("receave", 1.0))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("word\twrong\na\tb\n", "no column 'correct'"),
        ("correct\tmisspelling\na b\tab\n", "no misspelling of a word was found"),
        ("correct\tmisspelling\tcount\na\tb\t0\n", "line 2: count '0' is not a number above 0"),
    ],
)
def test_bad_tables_are_refused(tmp_path, content, message):
    path = tmp_path / "bad.tsv"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        read_misspellings(path)


def test_bad_options_are_refused(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read_misspellings(tmp_path / "nothing.tsv")
    with pytest.raises(ConfigError, match="use read_misspellings"):
        MisspellingNoise(table={"a": "b"})
    with pytest.raises(DataError, match="is empty"):
        MisspellingTable({})
