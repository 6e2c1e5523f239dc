import subprocess
import sys

import pytest
from flax import nnx

import textzoo
from textzoo import registry
from textzoo.config import ModelConfig, Part
from textzoo.errors import ConfigError, UnknownModelError
from textzoo.spec import ModelSpec

SPEC = ModelSpec(
    summary="A model", paper="Someone 2020", kind="word", parameters=72, width=8, dimension=8,
    max_length=8, license="MIT", status="architecture-only", training_data="none",
)  # fmt: skip


@pytest.fixture(autouse=True)
def clean_registry(monkeypatch):
    textzoo.list_models()
    monkeypatch.setattr(registry, "_models", dict(registry._models))


def tiny_average(**overrides) -> ModelConfig:
    """Mean of token vectors."""
    return ModelConfig(
        tokenizer=Part("SubwordTokenizer", max_length=8),
        embedding=Part("SubwordEmbedding", vocab_size=9, width=8),
        pooling=Part("MeanPooling"),
    ).with_options(**overrides)


def make_preset(name: str, doc: str | None = "A model."):
    def preset(**overrides):
        return tiny_average(**overrides)

    preset.__name__ = preset.__qualname__ = name
    preset.__doc__ = doc
    return preset


def test_registered_function_is_listed_described_and_built():
    assert textzoo.register_model(SPEC)(tiny_average) is tiny_average
    assert "tiny_average" in textzoo.list_models()
    assert textzoo.get_spec("tiny_average").name == "tiny_average"
    model = textzoo.create_model("tiny_average", rngs=nnx.Rngs(0))
    assert model.config == tiny_average()
    assert model.embedding.table.shape == (9, 8)


def test_overrides_change_options_replace_parts_and_empty_slots():
    textzoo.register_model(SPEC)(tiny_average)
    model = textzoo.create_model(
        "tiny_average", rngs=nnx.Rngs(0), embedding={"vocab_size": 5}, pooling=Part("MaxPooling"),
        tokenizer=None, heads=[Part("Normalize")],
    )  # fmt: skip
    assert model.embedding.table.shape == (5, 8)
    assert model.config.pooling == Part("MaxPooling")
    assert model.config.tokenizer is None
    assert model.config.heads == (Part("Normalize"),)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"poolings": Part("MaxPooling")}, "did you mean 'pooling'"),
        ({"embedding": {"widht": 4}}, "did you mean 'width'"),
        ({"pooling": Part("MeanPoling")}, "did you mean 'MeanPooling'"),
        ({"pooling": "MaxPooling"}, "must be a textzoo.Part"),
        ({"embedding": None}, "every model needs one"),
        ({"heads": Part("Normalize")}, "give the whole list"),
        ({"embedding": {"width": object()}}, "options are JSON types"),
    ],
)
def test_bad_overrides_are_refused_with_the_reason(overrides, message):
    textzoo.register_model(SPEC)(tiny_average)
    with pytest.raises(ConfigError, match=message):
        textzoo.create_model("tiny_average", rngs=nnx.Rngs(0), **overrides)


def test_options_of_an_empty_slot_are_refused():
    config = tiny_average(pooling=None)
    with pytest.raises(ConfigError, match="pooling is empty"):
        config.with_options(pooling={"layers": [1]})


def test_create_model_asks_for_rngs():
    with pytest.raises(ConfigError, match=r"write rngs=nnx.Rngs\(0\)"):
        textzoo.create_model("bert_tiny_uncased", rngs=0)


def test_same_name_from_elsewhere_is_refused():
    textzoo.register_model(SPEC)(make_preset("twice"))
    other = make_preset("twice")
    other.__module__ = "another.module"
    with pytest.raises(ConfigError, match="'twice' exists already"):
        textzoo.register_model(SPEC)(other)
    with pytest.raises(ConfigError, match="'bert_base_uncased' exists already"):
        textzoo.register_model(SPEC)(make_preset("bert_base_uncased"))


def test_running_a_definition_again_replaces_it():
    first, second = make_preset("again"), make_preset("again")
    textzoo.register_model(SPEC)(first)
    textzoo.register_model(SPEC)(second)
    assert registry._models["again"][1] is second


@pytest.mark.parametrize(
    ("name", "doc", "message"),
    [
        ("Big", "Doc.", "lower case, digits and underscores"),
        ("a_b", None, "a_b has no docstring"),
        ("a_b", "  ", "a_b has no docstring"),
    ],
)
def test_badly_written_registration_is_refused(name, doc, message):
    with pytest.raises(ConfigError, match=message):
        textzoo.register_model(SPEC)(make_preset(name, doc))


def test_register_model_asks_for_a_spec():
    with pytest.raises(ConfigError, match="needs a textzoo.ModelSpec"):
        textzoo.register_model(tiny_average)


def test_function_that_returns_no_config_is_named():
    broken = make_preset("broken")
    broken = textzoo.register_model(SPEC)(broken)
    registry._models["broken"] = (registry._models["broken"][0], lambda **overrides: None)
    with pytest.raises(ConfigError, match="broken returned None"):
        textzoo.create_model("broken", rngs=nnx.Rngs(0))


def test_list_models_is_in_natural_order():
    names = textzoo.list_models("minilm*")
    assert names == ["minilm_l6_h384_uncased", "minilm_l12_h384_uncased"]


def test_list_models_takes_wildcards():
    assert textzoo.list_models("bert_base_*cased") == [
        "bert_base_cased", "bert_base_multilingual_cased", "bert_base_uncased",
    ]  # fmt: skip
    assert textzoo.list_models("bert") == []


def test_list_models_filters_by_kind_and_weights():
    textzoo.register_model(SPEC)(tiny_average)
    words = textzoo.list_models(kind="word")
    assert "tiny_average" in words
    assert {textzoo.get_spec(name).kind for name in words} == {"word"}
    assert "all_minilm_l6_v2" in textzoo.list_models(pretrained=True)
    assert "tiny_average" in textzoo.list_models(pretrained=False)
    assert not set(textzoo.list_models(pretrained=True)) & set(
        textzoo.list_models(pretrained=False)
    )
    with pytest.raises(ConfigError, match="did you mean 'subword'"):
        textzoo.list_models(kind="subwords")


@pytest.mark.parametrize("name", ["bert_base_uncase", "google-bert/bert-base-uncased"])
def test_unknown_name_suggests_the_closest(name):
    with pytest.raises(UnknownModelError, match="did you mean 'bert_base_uncased'"):
        textzoo.get_spec(name)


def test_import_and_look_up_load_neither_families_nor_jax_too_early():
    code = (
        "import sys, textzoo; assert 'textzoo.families.bert' not in sys.modules; "
        "assert len(textzoo.list_models()) > 20; textzoo.get_spec('bert_base_uncased'); "
        "assert 'textzoo.families.bert' in sys.modules; assert 'flax' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_name_of_ours_is_taken_before_our_families_are_loaded():
    code = """if True:
        import textzoo
        def bert_base_uncased(**overrides):
            'Not that one.'
        spec = textzoo.ModelSpec(
            summary="x", paper="x", kind="word", parameters=1, width=1, dimension=1, max_length=1,
            license="x", status="architecture-only", training_data="x")
        try:
            textzoo.register_model(spec)(bert_base_uncased)
        except ValueError as error:
            assert "exists already (textzoo.families.bert)" in str(error), error
        else:
            raise AssertionError("registered")
    """
    subprocess.run([sys.executable, "-c", code], check=True)
