import dataclasses
import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tokenizers
from flax import nnx

from textzoo import parts
from textzoo.checkpoints import weights
from textzoo.checkpoints.bundle import Bundle
from textzoo.checkpoints.card import make_card
from textzoo.checkpoints.directory import read_directory, write_directory
from textzoo.checkpoints.layouts import read_model
from textzoo.config import ModelConfig, Part
from textzoo.errors import ConfigError, WeightsError
from textzoo.model import TextModel
from textzoo.modules import MeanPooling, SubwordTokenizer, TextBatch
from textzoo.parts import build
from textzoo.settings import EncoderSettings
from textzoo.spec import ModelSpec, Result, Weights

CONFIG = ModelConfig(
    tokenizer=Part("SubwordTokenizer", max_length=6),
    embedding=Part("SubwordEmbedding", vocab_size=12, width=8),
    pooling=Part("MeanPooling"),
    heads=(Part("Dense", in_features=8, out_features=3), Part("Normalize")),
)
SETTINGS = EncoderSettings(prompts={"query": "find: "}, similarity="dot")


def make_tokenizer(words: int = 11, max_length: int = 6) -> SubwordTokenizer:
    vocab = {"[UNK]": 0} | {f"w{index}": index for index in range(1, words + 1)}
    model = tokenizers.models.WordLevel(vocab, unk_token="[UNK]")
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    return SubwordTokenizer(tokenizer, max_length=max_length)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    model = build(CONFIG, rngs=nnx.Rngs(0))
    return Bundle(model=model, tokenizer=make_tokenizer(), settings=SETTINGS, name="mine")


def vectors(bundle: Bundle) -> np.ndarray:
    tokenized = bundle.tokenizer(["w1 w2 w9", "w11", ""])
    return np.asarray(bundle.model(tokenized.batch(np.arange(3), 4)).vectors)


def edit(path, change) -> None:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def test_saved_model_comes_back_equal(bundle, tmp_path):
    write_directory(tmp_path / "model", bundle)
    again = read_directory(tmp_path / "model")
    assert again.model.config == CONFIG
    assert again.settings == SETTINGS
    assert again.name == "mine"
    saved, loaded = weights.get_parameters(bundle.model), weights.get_parameters(again.model)
    assert saved.keys() == loaded.keys()
    for path in saved:
        np.testing.assert_array_equal(loaded[path], saved[path])
    np.testing.assert_array_equal(vectors(again), vectors(bundle))


def test_directory_holds_four_files_and_no_others(bundle, tmp_path):
    write_directory(tmp_path / "deep" / "model", bundle)
    names = {path.name for path in (tmp_path / "deep" / "model").iterdir()}
    assert names == {"README.md", "config.json", "model.safetensors", "tokenizer.json"}
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["model"]


def test_saving_again_replaces_the_model_and_keeps_other_files(bundle, tmp_path):
    write_directory(tmp_path, bundle)
    loaded = read_directory(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    other = dataclasses.replace(bundle, model=build(CONFIG, rngs=nnx.Rngs(5)))
    write_directory(tmp_path, other)
    np.testing.assert_array_equal(vectors(read_directory(tmp_path)), vectors(other))
    assert (tmp_path / "notes.txt").read_text() == "mine"
    # The first one is still mapped from its file.
    np.testing.assert_array_equal(vectors(loaded), vectors(bundle))


def test_failed_save_leaves_the_old_model_and_no_litter(bundle, tmp_path):
    target = tmp_path / "model"
    write_directory(target, bundle)

    class FullDisk(SubwordTokenizer):
        def save(self, directory):
            raise OSError("no space left")

    FullDisk.__name__ = "SubwordTokenizer"
    tokenizer = make_tokenizer()
    tokenizer.__class__ = FullDisk
    other = dataclasses.replace(bundle, model=build(CONFIG, rngs=nnx.Rngs(5)), tokenizer=tokenizer)
    with pytest.raises(OSError, match="no space left"):
        write_directory(target, other)
    np.testing.assert_array_equal(vectors(read_directory(target)), vectors(bundle))
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_interrupted_replacement_is_no_mixture(bundle, tmp_path, monkeypatch):
    target = tmp_path / "model"
    write_directory(target, bundle)
    replace = os.replace

    def stop_after_the_weights(source, destination):
        if str(destination) == str(target / "tokenizer.json"):
            raise KeyboardInterrupt
        replace(source, destination)

    monkeypatch.setattr(os, "replace", stop_after_the_weights)
    with pytest.raises(KeyboardInterrupt):
        write_directory(target, bundle)
    monkeypatch.undo()
    with pytest.raises(ConfigError, match="holds no model.*perhaps interrupted"):
        read_model(target)
    write_directory(target, bundle)
    np.testing.assert_array_equal(vectors(read_model(target)), vectors(bundle))


def test_model_without_config_is_refused(bundle, tmp_path):
    model = TextModel(embedding=bundle.model.embedding, encoder=bundle.model.encoder,
                      pooling=MeanPooling())  # fmt: skip
    with pytest.raises(ConfigError, match="has no config.*textzoo.build"):
        write_directory(tmp_path / "model", Bundle(model=model, tokenizer=None))
    assert not list(tmp_path.iterdir())


def test_part_that_is_not_registered_is_refused(bundle, tmp_path, monkeypatch):
    class Halve(nnx.Module):
        def __call__(self, vectors):
            return vectors / 2

    monkeypatch.setattr(parts, "_registered", {})
    parts.register_module(Halve)
    model = build(CONFIG.with_options(heads=[Part("Halve")]), rngs=nnx.Rngs(0))
    monkeypatch.setattr(parts, "_registered", {})
    with pytest.raises(ConfigError, match=r"heads\[0\]: no part is named 'Halve'.*register_module"):
        write_directory(tmp_path / "model", dataclasses.replace(bundle, model=model))


def test_parts_exchanged_by_hand_are_refused(tmp_path):
    model = build(CONFIG, rngs=nnx.Rngs(0))
    model.heads = nnx.List([])
    with pytest.raises(WeightsError, match="parts changed after it was built"):
        write_directory(tmp_path / "model", Bundle(model=model, tokenizer=None))


def test_tokenizer_must_be_the_one_in_the_config(bundle, tmp_path):
    model = build(CONFIG.with_options(tokenizer=None), rngs=nnx.Rngs(0))
    with pytest.raises(ConfigError, match=r"has no tokenizer.*Part\('SubwordTokenizer'"):
        write_directory(tmp_path / "model", dataclasses.replace(bundle, model=model))


def test_model_without_tokenizer_is_saved_as_such(bundle, tmp_path):
    write_directory(tmp_path / "model", dataclasses.replace(bundle, tokenizer=None))
    again = read_model(tmp_path / "model")
    assert again.tokenizer is None and again.model.config.tokenizer is None


def test_models_of_other_libraries_are_not_overwritten(bundle, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ConfigError, match="a model of another library"):
        write_directory(tmp_path, bundle)
    (tmp_path / "config.json").unlink()
    (tmp_path / "modules.json").write_text("[]")
    with pytest.raises(ConfigError, match="a model of another library"):
        write_directory(tmp_path, bundle)
    with pytest.raises(ConfigError, match="is a file"):
        write_directory(tmp_path / "modules.json", bundle)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda d: d["model"]["encoder"].update(type="IdentitiEncoder"), ConfigError,
         "encoder: no part is named 'IdentitiEncoder'; did you mean 'IdentityEncoder'"),
        (lambda d: d["model"]["embedding"].update(widht=3), ConfigError,
         "embedding: SubwordEmbedding has no option 'widht'; did you mean 'width'"),
        (lambda d: d["model"].update(auto_map={"AutoModel": "evil.Evil"}), ConfigError,
         "a model config has no slot 'auto_map'"),
        (lambda d: d.update(auto_map={"AutoModel": "evil.Evil"}), ConfigError, "no 'auto_map'"),
        (lambda d: d["model"]["encoder"].update(type="evil.Evil"), ConfigError,
         "no part is named 'evil.Evil'"),
        (lambda d: d["model"]["encoder"].update(type="os.system"), ConfigError, "no part is named"),
        (lambda d: d["model"].update(format_version=99), ConfigError,
         "format_version 99; this textzoo reads 1"),
        (lambda d: d.pop("model"), ConfigError, "a model config is a JSON object"),
        (lambda d: d["settings"].update(similarty="dot"), ConfigError, "did you mean 'similarity'"),
        (lambda d: d["model"]["embedding"].update(vocab_size=13), WeightsError,
         r"embedding.table: file has \(12, 8\), model needs \(13, 8\)"),
        (lambda d: d["model"]["heads"].pop(0), WeightsError, "not in the model: heads.0"),
    ],
)  # fmt: skip
def test_bad_config_is_refused_and_nothing_in_the_directory_runs(
    bundle, tmp_path, change, error, message
):
    write_directory(tmp_path, bundle)
    for name in ("evil", "IdentitiEncoder", "modeling", "__init__", "conftest"):
        marker = f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: pass\n"
        (tmp_path / f"{name}.py").write_text(marker)
    edit(tmp_path / "config.json", change)
    with pytest.raises(error, match=message):
        read_model(tmp_path)
    assert not (tmp_path / "ran").exists()
    assert not {"evil", "modeling", "IdentitiEncoder"} & sys.modules.keys()


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("config.json", None, ConfigError, "holds no model"),
        ("config.json", "{", ConfigError, "is not valid JSON"),
        ("config.json", "[]", ConfigError, "expected a JSON object"),
        ("config.json", "{}", ConfigError, "neither textzoo's .* nor transformers'"),
        ("model.safetensors", None, WeightsError, "does not exist"),
        ("model.safetensors", "short", WeightsError, "is not a whole safetensors file"),
        ("tokenizer.json", None, ConfigError, "tokenizer.json does not exist"),
        ("tokenizer.json", "{}", ConfigError, "is not a tokenizer file"),
    ],
)
def test_missing_and_damaged_files_are_named(bundle, tmp_path, name, content, error, message):
    write_directory(tmp_path, bundle)
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(error, match=message):
        read_model(tmp_path)


def test_tokenizer_larger_than_the_table_is_refused(bundle, tmp_path):
    write_directory(tmp_path, bundle)
    make_tokenizer(words=20).save(tmp_path)
    with pytest.raises(ConfigError, match="its ids go up to 20.*vocab_size=12"):
        read_model(tmp_path)


def test_texts_longer_than_the_encoder_takes_are_refused_at_once(tmp_path):
    encoder = Part("TransformerEncoder", width=8, num_layers=1, num_heads=2, hidden_dim=8,
                   max_length=4)  # fmt: skip
    model = build(CONFIG.with_options(encoder=encoder), rngs=nnx.Rngs(0))
    write_directory(tmp_path, Bundle(model=model, tokenizer=make_tokenizer()))
    with pytest.raises(ConfigError, match="max_length=6 tokens, the encoder takes at most 4"):
        read_model(tmp_path)


def test_model_with_a_module_of_the_user_loads_in_a_new_process(tmp_path):
    (tmp_path / "mine.py").write_text(
        textwrap.dedent("""
        import jax.numpy as jnp
        import numpy as np
        from flax import nnx
        import textzoo

        @textzoo.register_module
        class Rotate(nnx.Module):
            def __init__(self, width: int, *, steps: int = 1, rngs: nnx.Rngs):
                self.steps = steps
                self.shift = nnx.Param(nnx.initializers.normal(1.0)(rngs.params(), (width,)))

            def __call__(self, vectors):
                return jnp.roll(vectors, self.steps, axis=-1) + self.shift
    """)
    )
    save = """
        import mine, textzoo, numpy as np, tokenizers
        from flax import nnx
        from textzoo.checkpoints.bundle import Bundle
        from textzoo.checkpoints.directory import write_directory
        from textzoo.modules import TextBatch
        config = textzoo.ModelConfig(
            embedding=textzoo.Part("SubwordEmbedding", vocab_size=9, width=4),
            pooling=textzoo.Part("MeanPooling"), heads=[textzoo.Part("Rotate", width=4, steps=3)])
        model = textzoo.build(config, rngs=nnx.Rngs(3))
        write_directory(__import__("pathlib").Path("model"), Bundle(model=model, tokenizer=None))
    """
    load = """
        from pathlib import Path
        import numpy as np
        from textzoo.checkpoints.layouts import read_model
        from textzoo.errors import ConfigError
        from textzoo.modules import TextBatch
        try:
            read_model(Path("model"))
        except ConfigError as error:
            assert "register_module" in str(error)
        else:
            raise AssertionError("loaded a part that this process does not know")
        import mine
        model = read_model(Path("model")).model
    """
    run = """
        ids = np.array([[1, 2, 3], [4, 0, 0]], np.int32)
        np.save(OUT, model(TextBatch(ids=ids, mask=ids > 0)).vectors)
    """
    for code, out in ((save, "saved"), (load, "loaded")):
        code = textwrap.dedent(code) + textwrap.dedent(run).replace("OUT", repr(out))
        result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True)
        assert result.returncode == 0, result.stderr.decode()
    saved, loaded = np.load(tmp_path / "saved.npy"), np.load(tmp_path / "loaded.npy")
    assert np.abs(saved).sum() > 0
    np.testing.assert_array_equal(loaded, saved)


def test_dtype_changes_what_is_computed_in_and_not_what_is_stored(bundle, tmp_path):
    write_directory(tmp_path, bundle)
    again = read_directory(tmp_path, dtype="bfloat16")
    ids = np.ones((1, 2), np.int32)
    hidden = again.model(TextBatch(ids=ids, mask=ids > 0)).hidden
    assert hidden.states.dtype == "bfloat16"
    assert again.model.embedding.table[...].dtype == "float32"


def test_card_tells_parts_size_hash_and_prompts(bundle, tmp_path):
    write_directory(tmp_path, bundle)
    card = (tmp_path / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: textzoo\n")
    assert "# mine" in card
    assert "| parameters | 123 |" in card
    assert weights.sha256(tmp_path / "model.safetensors") in card
    assert '| prompt for query | `"find: "` |' in card
    assert "| heads[0] | Dense | `in_features=8, out_features=3` |" in card


def test_card_of_a_released_model_has_its_facts_and_results():
    spec = ModelSpec(
        name="small", summary="Small and | quick", paper="Someone 2020", kind="subword",
        parameters=123, width=8, dimension=3, max_length=6, license="MIT", status="trained-here",
        weights=Weights(bundled="small", sha256="a" * 64), training_data="captions",
        results=(Result(task="STS-B test", metric="Spearman", value=72.5, command="textzoo x",
                        date="2026-01-31"),),
    )  # fmt: skip
    card = make_card(
        name="small", config=CONFIG, settings=SETTINGS, parameters=123, sha256="a" * 64, spec=spec
    )
    assert "license: mit" in card
    assert 'textzoo.load("small")' in card
    assert "| STS-B test | Spearman | 72.5 | `textzoo x` | 2026-01-31 |  |" in card
    assert "| training data | captions |" in card


def test_card_says_how_the_weights_were_made(bundle, tmp_path):
    training = {
        "command": "scripts/train \\\n    --steps 1000",
        "steps": 1000,
        "data": ["captions", "nli | pairs"],
        "metrics": {"loss": 0.25, "STS-B dev": 80},
        "resumed": False,
    }
    write_directory(tmp_path, bundle, training=training)
    section = (tmp_path / "README.md").read_text().split("## Training\n\n")[1]
    assert section == (
        "```bash\nscripts/train \\\n    --steps 1000\n```\n\n"
        "| setting | value |\n"
        "| --- | --- |\n"
        "| steps | 1,000 |\n"
        "| data | captions, nli \\| pairs |\n"
        "| metrics | loss: 0.25, STS-B dev: 80 |\n"
        "| resumed | false |\n"
    )


def test_card_takes_the_training_of_the_spec_unless_another_is_given():
    spec = ModelSpec(
        summary="Small", paper="Someone 2020", kind="subword", parameters=123, width=8,
        dimension=3, max_length=6, license="MIT", status="architecture-only",
        training_data="captions", training={"seed": 1},
    )  # fmt: skip
    facts = {"name": "small", "config": CONFIG, "settings": SETTINGS, "parameters": 1, "sha256": ""}
    assert make_card(**facts, spec=spec).endswith("| seed | 1 |\n")
    assert make_card(**facts, spec=spec, training={"seed": 2}).endswith("| seed | 2 |\n")
    assert "## Training" not in make_card(**facts, spec=spec, training={})
    assert "## Training" not in make_card(**facts)
