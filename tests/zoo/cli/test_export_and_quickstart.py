import json

import numpy as np
import pytest

from textzoo.cli.quickstart import sample


@pytest.mark.parametrize("layout", ["textzoo", "sentence-transformers"])
def test_exported_directory_gives_the_same_vectors(textzoo, tiny, tmp_path, layout):
    import textzoo as package

    result = textzoo("export", tiny, tmp_path / "out", "--format", layout)
    assert result.code == 0, result.err
    texts = ["the cat sat", "red"]
    np.testing.assert_allclose(
        package.load(tmp_path / "out").encode(texts), package.load(tiny).encode(texts), atol=1e-6
    )
    assert (tmp_path / "out" / "modules.json").exists() == (layout != "textzoo")


def test_export_does_not_overwrite(textzoo, tiny, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    result = textzoo("export", tiny, tmp_path)
    assert result.code == 2
    assert "not empty" in result.err


def test_quickstart_prints_neighbors_and_draws(textzoo, tiny, tmp_path):
    result = textzoo("quickstart", "--model", tiny, "--output", tmp_path / "pictures")
    assert result.code == 0, result.err
    assert "60 sentences are now vectors of 8 numbers" in result.out
    assert "The goalkeeper saved a penalty in extra time." in result.out
    picture = (tmp_path / "pictures" / "sentences.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 100_000


def test_quickstart_needs_a_place_for_its_picture(textzoo, tiny, tmp_path):
    (tmp_path / "file").write_text("")
    result = textzoo("quickstart", "--model", tiny, "--output", tmp_path / "file")
    assert result.code == 2
    assert "cannot be made a folder" in result.err


def test_quickstart_sentences_are_five_topics_in_blocks():
    topics, sentences = sample()
    assert len(sentences) == len(set(sentences)) == 60
    assert len(set(topics)) == 5
    assert sum(a != b for a, b in zip(topics, topics[1:], strict=False)) == 4
    assert json.dumps(sentences, ensure_ascii=True) == json.dumps(sentences, ensure_ascii=False)
