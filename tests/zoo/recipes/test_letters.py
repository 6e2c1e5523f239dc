"""Recipes that train models which read the letters of pieces."""

import numpy as np
import pytest

import textzoo
from textzoo.errors import ConfigError
from textzoo.modules import NGramTokenizer, WholeWordTokenizer
from textzoo.recipes import run_recipe
from textzoo.recipes.models import make_model
from textzoo.recipes.recipe import ModelSection

SMALL = {"embedding": {"width": 8}, "encoder": {"type": "IdentityEncoder"}}


def masked(architecture, **objective):
    model = {
        "start": None, "architecture": architecture, "new_vocabulary": 60, "overrides": SMALL,
    }  # fmt: skip
    return {"model": model, "objective": objective}


@pytest.mark.parametrize("tied", [True, False])
def test_masked_pieces_are_guessed_by_their_letters(tied, make_recipe, tmp_path):
    tables = masked("n_hot_bert_tiny", masking={"rate": 0.3}, head={"tied": tied})
    result = run_recipe(make_recipe("mlm", **tables), tmp_path / "run", show_progress=False)
    assert np.isfinite(result.scores["held_out/loss"])
    found = textzoo.load(result.model).encode(["the cats", "the catz"])
    assert np.isfinite(found).all()


def test_architectures_bring_the_tokenizer_that_they_read(tiny):
    bundle = make_model(ModelSection(architecture="xray_bert_tiny", tokenizer=tiny))
    assert isinstance(bundle.tokenizer, WholeWordTokenizer)
    assert bundle.tokenizer(["cat catty"]).unit_starts[-1] == 2 + len("catty")
    assert bundle.model.config.tokenizer.options["num_characters"] == 1000
    words = make_model(ModelSection(architecture="fasttext_tiny", max_length=12))
    assert isinstance(words.tokenizer, NGramTokenizer) and words.tokenizer.max_length == 12


def test_what_does_not_fit_is_explained(tiny):
    with pytest.raises(ConfigError, match="needs a tokenizer"):
        make_model(ModelSection(architecture="xray_bert_tiny"))
    with pytest.raises(ConfigError, match="below their characters"):
        make_model(ModelSection(architecture="kr_bert_jamo_tiny", new_vocabulary=60), texts=["a"])
