import importlib.machinery
import importlib.util
from pathlib import Path

import pytest
from tiny_models import write_tiny_model

import textzoo
from textzoo import Part
from textzoo.errors import ConfigError

PATH = Path(__file__).parents[3] / "scripts" / "retrofit"


@pytest.fixture(scope="module")
def script():
    loader = importlib.machinery.SourceFileLoader("retrofit_script", str(PATH))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


def test_options_change_the_embedding(script, tmp_path):
    def part(embedding, *changes):
        options = script.Options(embedding=embedding, teacher="t", output=tmp_path, options=changes)
        return script.embedding_part(options)

    assert part("hashed", "num_rows=7", "hash_function=mixed").options["num_rows"] == 7
    assert part("SubspaceEmbedding", "num_parts=3") == Part("SubspaceEmbedding", num_parts=3)
    with pytest.raises(ConfigError, match="write KEY=VALUE"):
        part("hashed", "num_rows")


def test_the_script_writes_a_model_and_says_what_became_of_it(script, tmp_path, capsys):
    teacher = write_tiny_model(tmp_path / "teacher")
    pairs = tmp_path / "sts"
    pairs.mkdir()
    for split in ("dev", "test"):
        rows = "cat\tkitten\t5\ncat\tcar\t1\nred cat\tred dog\t3\n"
        (pairs / f"{split}.tsv").write_text("sentence1\tsentence2\tscore\n" + rows)
    options = script.Options(
        embedding="hashed", teacher=str(teacher), output=tmp_path / "run", sts=pairs,
        options=("num_rows=100",), table_steps=60, table_rate=3e-2, progress=False,
    )  # fmt: skip
    assert script.main(options) == 0
    said = capsys.readouterr().out
    assert "before: table/unexplained" in said
    assert "sts test" in said
    encoder = textzoo.load(tmp_path / "run" / "model")
    assert type(encoder.model.embedding).__name__ == "HashedEmbedding"
    assert "scripts/retrofit" in (tmp_path / "run" / "model" / "README.md").read_text()


def test_the_script_solves_and_trains_nothing(script, tmp_path, capsys):
    teacher = write_tiny_model(tmp_path / "teacher")
    options = script.Options(
        embedding="low_rank", teacher=str(teacher), output=tmp_path / "run", table_steps=0,
        options=("factor_dim=4",), progress=False,
    )  # fmt: skip
    assert script.main(options) == 0
    assert "solve: table/unexplained" in capsys.readouterr().out
    for name in ("product_quantized", "tensor_train"):
        options = script.Options(embedding=name, teacher="t", output=tmp_path)
        assert script.embedding_part(options).type in textzoo.parts.known_parts()


def test_the_script_knows_both_stages_of_char2subword(script, tmp_path, capsys):
    teacher = write_tiny_model(tmp_path / "teacher")
    options = script.Options(
        embedding="NGramEmbedding", teacher=str(teacher), output=tmp_path / "run", table_steps=20,
        options=("unit_vocab_size=207",), units="characters", mimic=True, edit_rate=0.1,
        unit_options=("num_characters=200", "mark_words=true"), progress=False,
    )  # fmt: skip
    assert script.main(options) == 0
    assert "table/retrieved" in capsys.readouterr().out
    tokenizer = textzoo.load(tmp_path / "run" / "model").tokenizer
    assert (tokenizer.num_characters, tokenizer.mark_words) == (200, True)
    both = script.make_config(script.Options(embedding="e", teacher="t", output=tmp_path,
                                             masked_steps=5, edit_rate=0.2), True)  # fmt: skip
    assert list(both.stages()) == ["table", "masked", "frozen", "joint"]
    assert (both.mimic, both.edit_rate) == (None, 0.2)
