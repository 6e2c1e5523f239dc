import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from flax import nnx

import textzoo
from textzoo import loading, registry
from textzoo.checkpoints import weights
from textzoo.checkpoints.bundle import Bundle
from textzoo.checkpoints.directory import write_directory
from textzoo.config import ModelConfig, Part
from textzoo.errors import ConfigError, HubError, TextzooError, UnknownModelError, WeightsError
from textzoo.modules import SubwordTokenizer
from textzoo.parts import build
from textzoo.spec import ModelSpec, Weights

constants = pytest.importorskip("huggingface_hub.constants")
COMMIT = "c" * 40
TEXTS = ["w1 w2", "w3", "w4 w1 w5"]
MINILM = "sentence-transformers/all-MiniLM-L6-v2"


def toy(**overrides) -> ModelConfig:
    """A table and a mean."""
    return ModelConfig(
        tokenizer=Part("SubwordTokenizer", max_length=6),
        embedding=Part("SubwordEmbedding", vocab_size=8, width=4),
        pooling=Part("MeanPooling"),
    ).with_options(**overrides)


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    vocab = {"[UNK]": 0} | {f"w{index}": index for index in range(1, 8)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocab, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    directory = tmp_path_factory.mktemp("saved") / "toy"
    write_directory(
        directory,
        Bundle(
            model=build(toy(), rngs=nnx.Rngs(0)),
            tokenizer=SubwordTokenizer(tokenizer, max_length=6),
        ),
    )
    return directory


@pytest.fixture(scope="module")
def vectors(saved) -> np.ndarray:
    return textzoo.load(saved).encode(TEXTS)


@pytest.fixture(autouse=True)
def world(tmp_path, monkeypatch):
    """An empty working directory, an empty cache, no network, and the registry as it came."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    textzoo.list_models()
    monkeypatch.setattr(registry, "_models", dict(registry._models))
    monkeypatch.setattr(loading, "_bundled", lambda name: tmp_path / "bundled" / name)


def register(known: Weights | None, name: str = "toy", **facts):
    status = "architecture-only" if known is None else "trained-here"
    spec = ModelSpec(
        summary="A toy", paper="none", kind="word", parameters=32, width=4, dimension=4,
        max_length=6, license="MIT", status=status, weights=known, training_data="none", **facts,
    )  # fmt: skip
    registry._models[name] = (dataclasses.replace(spec, name=name), toy)


def cache(saved: Path, repo: str, commit: str = COMMIT) -> Path:
    directory = Path("cache") / f"models--{repo.replace('/', '--')}"
    shutil.copytree(saved, directory / "snapshots" / commit)
    (directory / "refs").mkdir()
    (directory / "refs" / "main").write_text(commit)
    return directory / "snapshots" / commit


def assert_toy(encoder, vectors) -> None:
    np.testing.assert_array_equal(encoder.encode(TEXTS), vectors)


def test_directory_loads_by_path_and_by_text(saved, vectors):
    assert np.abs(vectors).min(axis=1).max() > 0
    assert_toy(textzoo.load(saved), vectors)
    assert_toy(textzoo.load(str(saved)), vectors)


def test_directory_loads_by_home_and_relative_paths(saved, vectors, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(saved.parent))
    assert_toy(textzoo.load("~/toy"), vectors)
    shutil.copytree(saved, "here")
    assert_toy(textzoo.load("here"), vectors)
    assert_toy(textzoo.load("./here"), vectors)
    assert_toy(textzoo.load("../" + tmp_path.name + "/here"), vectors)


def test_saved_encoder_loads_to_the_same_vectors(saved, vectors):
    textzoo.load(saved).save("copy")
    assert_toy(textzoo.load("copy"), vectors)


def test_bundled_model_loads_by_name(saved, vectors):
    digest = weights.sha256(saved / "model.safetensors")
    shutil.copytree(saved, "bundled/toy_v1")
    register(Weights(bundled="toy_v1", sha256=digest))
    assert_toy(textzoo.load("toy"), vectors)
    assert loading.find("toy").name == "toy"


def test_bundled_weights_that_are_not_the_released_ones_are_refused_by_name(saved):
    shutil.copytree(saved, "bundled/toy")
    register(Weights(bundled="toy", sha256="0" * 64))
    with pytest.raises(WeightsError, match=r"^toy: .*is not the file that was released"):
        textzoo.load("toy")
    (Path("bundled") / "toy" / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"^toy: .* does not exist"):
        textzoo.load("toy")


def test_bundled_model_that_is_not_installed_says_so():
    register(Weights(bundled="toy", sha256="0" * 64))
    with pytest.raises(UnknownModelError, match="files of 'toy' are not installed"):
        textzoo.load("toy")


def test_registered_hub_model_loads_its_pinned_revision(saved, vectors):
    digest = weights.sha256(saved / "model.safetensors")
    register(Weights(hub="org/name", revision=COMMIT, sha256=digest))
    with pytest.raises(HubError, match="hf download org/name"):
        textzoo.load("toy")
    snapshot = cache(saved, "org/name")
    assert_toy(textzoo.load("toy"), vectors)
    weights.write_safetensors(
        snapshot / "model.safetensors", {"embedding.table": np.ones((8, 4), np.float32)}
    )
    with pytest.raises(WeightsError, match="^toy: .*not the file that was released"):
        textzoo.load("toy")
    # Whoever names a revision wants that one, whatever its hash.
    np.testing.assert_array_equal(textzoo.load("toy", revision="main").encode(["w1"]), 1)


def test_hub_model_loads_from_the_cache(saved, vectors):
    cache(saved, "org/name")
    assert_toy(textzoo.load("org/name"), vectors)
    assert_toy(textzoo.load("org/name", revision=COMMIT), vectors)
    assert loading.find("org/name").name == "org/name"


def test_local_directory_comes_before_the_hub(saved, vectors):
    snapshot = cache(saved, "org/name")
    (snapshot / "config.json").write_text("{}")
    shutil.copytree(saved, "org/name")
    assert_toy(textzoo.load("org/name"), vectors)


def test_path_that_looks_like_a_hub_id_is_told_as_both():
    with pytest.raises(HubError, match="'models/mine' is neither a directory here nor"):
        textzoo.load("models/mine")


@pytest.mark.parametrize("path", ["./models/mine", "a/b/c", "/no/such/place", Path("org/name")])
def test_what_can_only_be_a_path_is_not_looked_up_on_the_hub(path):
    with pytest.raises(UnknownModelError, match="there is no directory"):
        textzoo.load(path)


def test_name_as_a_path_object_is_a_directory_only():
    with pytest.raises(UnknownModelError, match="there is no directory 'bert_base_uncased'"):
        textzoo.load(Path("bert_base_uncased"))


def test_architecture_without_weights_says_what_can_be_done(saved):
    with pytest.raises(UnknownModelError) as caught:
        textzoo.load("bert_base_uncased")
    message = str(caught.value)
    assert "'bert_base_uncased' is registered as an architecture and has no weights" in message
    assert "textzoo.load('google-bert/bert-base-uncased')" in message
    assert "textzoo.create_model('bert_base_uncased'" in message
    shutil.copytree(saved, "bert_base_uncased")
    with pytest.raises(UnknownModelError, match=r"is './bert_base_uncased'"):
        textzoo.load("bert_base_uncased")
    textzoo.load("./bert_base_uncased")


@pytest.mark.parametrize("name", ["all_minilm_l6", "all-MiniLM-L6-v2"])
def test_unknown_name_suggests_the_closest(name):
    with pytest.raises(UnknownModelError, match="did you mean 'all_minilm_l6_v2'"):
        textzoo.load(name)


def test_name_like_nothing_says_where_all_names_are():
    with pytest.raises(UnknownModelError, match=r"textzoo.list_models\(\) has all names"):
        textzoo.load("qqqqqq")


@pytest.mark.parametrize("text", ["", "  ", "\n"])
def test_empty_name_is_refused(text):
    with pytest.raises(UnknownModelError, match="the name of the model is empty"):
        textzoo.load(text)


@pytest.mark.parametrize("text", ["x" * 100_000, "a/" + "x" * 5000, "./" + "x" * 5000, "a\0b"])
def test_absurd_names_have_an_ordinary_error(text):
    with pytest.raises(TextzooError):
        textzoo.load(text)


@pytest.mark.parametrize("value", [None, 3, ["toy"]])
def test_what_is_neither_text_nor_path_is_refused(value):
    with pytest.raises(TypeError, match="takes a name, a path or a hub id"):
        textzoo.load(value)


def test_file_in_place_of_a_directory_names_the_directory(saved):
    with pytest.raises(UnknownModelError, match=f"directory that holds it: {str(saved)!r}"):
        textzoo.load(saved / "model.safetensors")


def test_directory_without_a_model_is_refused():
    Path("empty").mkdir()
    with pytest.raises(ConfigError, match="holds no model: it has neither config.json"):
        textzoo.load("empty")


def test_revision_of_a_local_directory_is_refused(saved):
    with pytest.raises(ConfigError, match="revision='main' is for models of the hub"):
        textzoo.load(saved, revision="main")


def test_unknown_dtype_is_refused(saved):
    with pytest.raises(ConfigError, match="dtype='bf16' is unknown; use one of float32, bfloat16"):
        textzoo.load(saved, dtype="bf16")


def test_bfloat16_vectors_are_close(saved, vectors):
    rough = textzoo.load(saved, dtype="bfloat16").encode(TEXTS)
    assert rough.dtype == np.float32
    np.testing.assert_allclose(rough, vectors, rtol=0.01, atol=1e-3)
    assert not np.array_equal(rough, vectors)
