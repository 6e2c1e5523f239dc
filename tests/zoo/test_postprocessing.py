"""Whitening and its relatives on an encoder: fitted, saved, loaded, trained around."""

import jax
import numpy as np
import pytest
from flax import nnx
from tiny_models import WORDS, write_tiny_model

import textzoo
from textzoo.errors import ConfigError
from textzoo.modules import Normalize, Whitening
from textzoo.postprocessing import fit_postprocessing

TEXTS = [f"{first} {second}" for first in WORDS[1:] for second in WORDS[1:]]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return textzoo.load(write_tiny_model(tmp_path_factory.mktemp("tiny")))


def test_whitened_vectors_are_those_of_the_formula(encoder):
    whitened = encoder.fit_postprocessing(TEXTS, "Whitening", rank=5)
    plain = encoder.encode(TEXTS).astype(np.float64)
    values, vectors = np.linalg.eigh(np.cov(plain.T))
    expected = (plain - plain.mean(axis=0)) @ (vectors / np.sqrt(values))[:, ::-1][:, :5]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = whitened.encode(TEXTS)
    assert found.shape == (len(TEXTS), 5) and whitened.dimension == 5
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-4)


def test_the_old_encoder_is_left_alone_and_parameters_are_shared(encoder):
    before = encoder.encode(TEXTS)
    centered = encoder.fit_postprocessing(TEXTS, "Centering")
    assert centered.model.embedding is encoder.model.embedding
    assert len(encoder.model.heads) == 1 and encoder.dimension == 8
    np.testing.assert_array_equal(encoder.encode(TEXTS), before)
    assert np.abs(centered.encode(TEXTS) - before).max() > 0.01


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("Whitening", {"rank": 3, "shrinkage": 0.1}),
        ("Standardization", {}),
        ("ComponentRemoval", {"count": 2, "center": False}),
    ],
)
def test_saved_and_loaded_it_gives_the_same_vectors(encoder, tmp_path, kind, options):
    fitted = encoder.fit_postprocessing(TEXTS, kind, **options)
    fitted.save(tmp_path / "model")
    loaded = textzoo.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.encode(TEXTS), fitted.encode(TEXTS))
    assert loaded.model.config == fitted.model.config
    heads = [head.type for head in loaded.model.config.heads]
    assert heads == ["Normalize", kind, "Normalize"]


def test_vectors_fit_as_texts_do(encoder):
    by_texts = encoder.fit_postprocessing(iter(TEXTS))
    by_vectors = encoder.fit_postprocessing(encoder.encode(TEXTS))
    np.testing.assert_array_equal(by_texts.encode(TEXTS), by_vectors.encode(TEXTS))


def test_unit_length_comes_back_where_the_model_had_it_or_as_asked(encoder):
    lengths = np.linalg.norm(encoder.fit_postprocessing(TEXTS).encode(TEXTS), axis=1)
    np.testing.assert_allclose(lengths, 1, rtol=1e-5)
    raw = encoder.fit_postprocessing(TEXTS, normalize=False)
    assert isinstance(raw.model.heads[-1], Whitening)
    np.testing.assert_allclose(np.cov(raw.encode(TEXTS).T), np.eye(8), atol=1e-3)
    bare = textzoo.TextEncoder(
        textzoo.build(encoder.model.config.replace(heads=()), rngs=nnx.Rngs(0)), encoder.tokenizer
    )
    assert not any(isinstance(h, Normalize) for h in bare.fit_postprocessing(TEXTS).model.heads)


def test_steps_can_follow_one_another(encoder):
    both = encoder.fit_postprocessing(TEXTS, "ComponentRemoval").fit_postprocessing(
        TEXTS, "PrincipalComponents", rank=2
    )
    assert both.encode("cat").shape == (2,)
    assert [type(head).__name__ for head in both.model.heads] == [
        "Normalize", "ComponentRemoval", "Normalize", "PrincipalComponents", "Normalize",
    ]  # fmt: skip


def test_settings_are_kept_and_truncation_comes_last(encoder):
    prompted = textzoo.TextEncoder(
        encoder.model, encoder.tokenizer, prompts={"query": "the "}, default_prompt="query",
        similarity="dot", truncate_dim=4, name="mine",
    )  # fmt: skip
    fitted = prompted.fit_postprocessing(TEXTS, "PrincipalComponents")
    assert fitted.settings == prompted.settings and fitted.name == "mine"
    assert fitted.full_dimension == 8 and fitted.encode("cat").shape == (4,)
    small = prompted.fit_postprocessing(TEXTS, "PrincipalComponents", rank=3)
    assert small.settings.truncate_dim is None and small.encode("cat").shape == (3,)


def test_spans_go_through_the_statistics_and_lost_ones_stay_zero(encoder):
    whitened = encoder.fit_postprocessing(TEXTS)
    found = whitened.encode_spans(["cat dog"], [[(0, 3), (3, 4)]])[0]
    np.testing.assert_allclose(found.vectors[0], whitened.encode("cat"), rtol=1e-4, atol=1e-5)
    assert found.kept.tolist() == [True, False]
    np.testing.assert_array_equal(found.vectors[1], 0)


def test_the_fingerprint_of_a_corpus_changes_with_the_statistics(encoder):
    from textzoo.fingerprint import model_fingerprint

    one, other = (encoder.fit_postprocessing(texts, "Centering") for texts in (TEXTS, TEXTS[:50]))
    prints = [model_fingerprint(e.model, e.tokenizer) for e in (encoder, one, other)]
    assert prints[0] != prints[1] != prints[2]


@pytest.mark.parametrize(
    ("kind", "options"),
    [("Whitening", {"rank": 4}), ("Standardization", {}), ("ComponentRemoval", {"count": 2})],
)
def test_exported_it_is_a_dense_with_the_same_vectors(encoder, tmp_path, kind, options):
    from textzoo.checkpoints.bundle import Bundle
    from textzoo.checkpoints.sentence_transformers_export import write_sentence_transformers

    fitted = encoder.fit_postprocessing(TEXTS, kind, **options)
    bundle = Bundle(
        model=fitted.model, tokenizer=fitted.tokenizer, settings=fitted.settings, name="tiny"
    )
    write_sentence_transformers(tmp_path / "exported", bundle)
    loaded = textzoo.load(tmp_path / "exported")
    assert [head.type for head in loaded.model.config.heads] == ["Normalize", "Dense", "Normalize"]
    np.testing.assert_allclose(loaded.encode(TEXTS), fitted.encode(TEXTS), atol=1e-5)


def test_training_leaves_statistics_alone_and_parameters_move(encoder):
    from textzoo.trainers.blueprint import Blueprint
    from textzoo.trainers.objectives.base import Objective

    whitened = encoder.fit_postprocessing(TEXTS, "Whitening", rank=4)
    blueprint = Blueprint(Objective(whitened.model))
    statistics = ("model.heads.1.matrix", "model.heads.1.mean")
    assert blueprint.memory == statistics
    assert not set(statistics) & set(blueprint.parameters)
    assert "model.embedding.table" in blueprint.parameters
    arrays = blueprint.arrays((*blueprint.parameters, *blueprint.memory))
    made = blueprint.assemble(arrays, deterministic=True)
    kept = blueprint.remembered(made)
    assert sorted(kept) == sorted(statistics)
    jax.tree.map(np.testing.assert_array_equal, kept, {name: arrays[name] for name in statistics})


def test_what_does_not_fit_is_refused(encoder):
    with pytest.raises(ConfigError, match="kind='Whitenning'.*Whitening"):
        encoder.fit_postprocessing(TEXTS, "Whitenning")
    with pytest.raises(ConfigError, match="kind='Dense' is no head with statistics"):
        encoder.fit_postprocessing(TEXTS, "Dense")
    with pytest.raises(ConfigError, match="no option 'ranks'.*rank"):
        encoder.fit_postprocessing(TEXTS, ranks=3)
    with pytest.raises(ConfigError, match="width=8: it is that of the vectors"):
        encoder.fit_postprocessing(TEXTS, width=8)
    with pytest.raises(ConfigError, match="Whitening: 2 vectors"):
        encoder.fit_postprocessing(TEXTS[:2])
    with pytest.raises(ConfigError, match=r"shape \(50, 3\); expected \[N, 8\]"):
        encoder.fit_postprocessing(np.ones((50, 3), np.float32))
    states = textzoo.TextEncoder(
        textzoo.build(encoder.model.config.replace(pooling=None, heads=()), rngs=nnx.Rngs(0)),
        encoder.tokenizer,
    )
    with pytest.raises(ConfigError, match="has no pooling"):
        fit_postprocessing(states, TEXTS)
