import dataclasses
import json
import re

import jax
import numpy as np
import pytest
from rich.console import Console
from tiny_models import WORDS

import textzoo
from textzoo.checkpoints.weights import FILE_NAME, read_safetensors
from textzoo.classifying import predict
from textzoo.errors import ConfigError, DataError, ResumeError
from textzoo.evaluation import evaluate
from textzoo.loading import load
from textzoo.recipes import prepare, run_recipe
from textzoo.recipes.models import make_model
from textzoo.recipes.objectives import TYPES
from textzoo.recipes.recipe import ModelSection
from textzoo.registry import get_config
from textzoo.trainers.metrics import read_metrics
from textzoo.trainers.trainer import Trainer

TEXTS = ["the cat sat", "a red car", "sea"]
PAIRS = {"columns": ["text", "other"]}
TRIPLES = {"columns": ["text", "other", "third"]}
MASKED = {
    "start": None,
    "architecture": "bert_tiny_uncased",
    "new_vocabulary": 60,
    "overrides": {"embedding": {"width": 8}, "encoder": {"type": "IdentityEncoder"}},
}
LAYER = {
    "embedding": {"width": 8},
    "encoder": {"width": 8, "num_layers": 1, "num_heads": 2, "hidden_dim": 16, "max_length": 16},
}
EVERY_TYPE = {
    "masked_language": ("mlm", {"model": MASKED, "objective": {"masking": {"rate": 0.3}}}),
    "replaced_token": (
        "mlm",
        {
            "model": {**MASKED, "overrides": LAYER},
            "objective": {"generator_fraction": 0.5, "masking": {"unit": "word"}},
        },
    ),
    "contrastive": ("contrastive", {"data": PAIRS, "objective": {"temperature": 1}}),
    "simcse": ("contrastive", {"objective": {"temperature": 0.1, "use_head": True}}),
    "pair_scores": ("contrastive", {"data": {**PAIRS, "labels": "score"}}),
    "nli": ("contrastive", {"data": {**PAIRS, "labels": "label"}}),
    "triplet": ("contrastive", {"data": TRIPLES, "objective": {"matryoshka": {"dims": [4, 8]}}}),
    "pearl": ("contrastive", {"data": {**PAIRS, "labels": "label"}}),
    "sub_sentence": (
        "contrastive",
        {"data": {"spans": {"text": "spans"}, "span_labels": {"text": "says"}, "max_spans": 2}},
    ),
    "classification": ("classifier", {}),
    "regression": ("classifier", {"data": {"labels": "score"}}),
    "vectors": ("distill", {"data": {"targets": ["vector"]}}),
    "scores": ("distill", {"data": {**TRIPLES, "targets": ["logits"]}}),
    "logits": ("distill", {"data": {"targets": ["logits"], "labels": "label"}}),
}


def test_every_objective_a_recipe_may_name_is_tried():
    assert set(EVERY_TYPE) == set(TYPES)


@pytest.mark.parametrize(
    "name",
    [  # the generator makes it the only one that takes long to compile
        pytest.param(name, marks=pytest.mark.slow if name == "replaced_token" else ())
        for name in EVERY_TYPE
    ],
)
def test_every_objective_trains_and_exports_its_best_model(name, make_recipe, tmp_path):
    kind, tables = EVERY_TYPE[name]
    tables = {**tables, "objective": {"type": name, **tables.get("objective", {})}}
    recipe = make_recipe(kind, **tables)
    result = run_recipe(recipe, tmp_path / "run", show_progress=False)
    assert result.step == 6
    assert "held_out/loss" in result.scores
    # The same checkpoint through the trainer: what was exported is what was trained.
    job = prepare(recipe, tmp_path / "run" / "tokenizer")
    trainer = Trainer(job.objective, job.config, directory=tmp_path / "run")
    expected = job.encoder(trainer.best_model())
    loaded = textzoo.load(result.model)
    np.testing.assert_array_equal(loaded.encode(TEXTS), expected.encode(TEXTS))


def test_texts_are_packed_into_rows(make_recipe, tmp_path):
    data = {"packing": "pack", "lengths": [16], "batch_size": 2, "held_out": 6}
    job = prepare(make_recipe("mlm", model=MASKED, data=data))
    train, held_out = job.data(tmp_path)
    stream = train.stream()
    batch = next(stream).batch
    stream.close()
    # 16 tokens hold two texts of four words with their [CLS] and [SEP], and a piece of a third.
    assert int(batch.texts[0].segment_ids.max()) >= 2
    assert jax.tree.structure(batch) == jax.tree.structure(job.batch)
    assert [b.batch.texts[0].ids.shape for b in held_out["held_out"].batches()][0] == (2, 16)


def test_training_lowers_the_loss(make_recipe, tmp_path):
    recipe = make_recipe(training={"steps": 30, "evaluate_every": 30})
    run_recipe(recipe, tmp_path, show_progress=False)
    lines = read_metrics(tmp_path / "metrics.jsonl")
    losses = [line["loss"] for line in lines if "loss" in line]
    assert losses[-1] < 0.5 * losses[0]


def test_a_classifier_names_the_classes_of_texts(make_recipe, tmp_path):
    recipe = make_recipe(training={"steps": 40, "evaluate_every": 40})
    result = run_recipe(recipe, tmp_path / "run", show_progress=False)
    found = predict(textzoo.load(result.model), ["the cat sat", "red red sea"])
    assert found.labels == ["cat", "other"]
    assert found.classes == ("cat", "other")
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, rtol=1e-6)


def test_a_model_without_a_classifier_predicts_nothing(tiny):
    with pytest.raises(ConfigError, match="does not end in a classifier"):
        predict(textzoo.load(tiny), ["a text"])


def test_a_run_that_was_killed_ends_as_one_that_was_not(make_recipe, tmp_path, monkeypatch):
    recipe = make_recipe(training={"save_every": 2})
    run_recipe(recipe, tmp_path / "whole", show_progress=False)
    update, calls = Trainer.update, []

    def killed(trainer, batch):
        calls.append(batch)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return update(trainer, batch)

    monkeypatch.setattr(Trainer, "update", killed)
    with pytest.raises(KeyboardInterrupt):
        run_recipe(recipe, tmp_path / "killed", show_progress=False)
    assert not (tmp_path / "killed" / "model").exists()
    run_recipe(recipe, tmp_path / "killed", show_progress=False)
    assert len(calls) == 5 + 2  # steps 5 and 6, after the checkpoint of step 4
    one, other = (read_safetensors(tmp_path / n / "model" / FILE_NAME) for n in ("whole", "killed"))
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_a_finished_run_says_so_and_is_left_alone(make_recipe, tmp_path):
    recipe = make_recipe(training={"steps": 2})
    first = run_recipe(recipe, tmp_path / "run", show_progress=False)
    before = (first.model / FILE_NAME).stat().st_mtime_ns
    console = Console(record=True, width=200)
    again = run_recipe(recipe, tmp_path / "run", show_progress=False, console=console)
    assert again.was_finished and again.model == first.model
    assert "is finished" in console.export_text()
    assert (first.model / FILE_NAME).stat().st_mtime_ns == before


def test_a_directory_of_another_recipe_is_refused(make_recipe, tmp_path):
    run_recipe(make_recipe(training={"steps": 1}), tmp_path / "run", show_progress=False)
    with pytest.raises(ResumeError, match=r"data\.batch_size: 8 then, 4 now"):
        run_recipe(make_recipe(training={"steps": 1}, data={"batch_size": 4}), tmp_path / "run")


def test_a_plan_is_printed_and_writes_nothing(make_recipe, tmp_path):
    console = Console(record=True, width=200)
    result = run_recipe(
        make_recipe(training={"steps": 9}), tmp_path / "run", plan_only=True, console=console
    )
    text = console.export_text()
    assert result.model is None
    assert list(tmp_path.iterdir()) == []
    assert re.search(r"rows +18 of .*rows.jsonl; 6 held out", text)
    # Every text has four words: 18 rows of 4 tokens, 9 steps of 8 rows.
    assert "about 4.0 a row, 72 an epoch, 288 in all" in text
    assert "9 of 8 rows, 3 steps an epoch: 4 epochs" in text
    assert "classes" in text and "cat, other" in text
    assert "MiB a device" in text


def test_the_card_says_how_the_model_was_made(make_recipe, tmp_path):
    recipe = make_recipe(training={"steps": 1})
    result = run_recipe(
        recipe, tmp_path / "run", show_progress=False, command="scripts/train_classifier a.toml"
    )
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "recipe.json", "metrics.jsonl", "checkpoints", "model",
    }  # fmt: skip
    card = (result.model / "README.md").read_text()
    assert "scripts/train_classifier a.toml" in card
    assert "rows.jsonl" in card and "fingerprint" in card
    assert "held_out/accuracy" in card and "textzoo.classifying.predict" in card
    assert json.loads((tmp_path / "run" / "recipe.json").read_text()) == recipe.to_dict()


def test_a_task_of_evaluation_chooses_the_best_checkpoint(make_recipe, tmp_path):
    pairs = [("cat", "kitten", 5), ("cat", "car", 0), ("red", "sea", 2), ("dog", "truck", 1)]
    lines = ["sentence1\tsentence2\tscore", *("\t".join(map(str, pair)) for pair in pairs)]
    path = tmp_path / "dev.tsv"
    path.write_text("\n".join(lines) + "\n")
    recipe = make_recipe(
        "contrastive", data=PAIRS, evaluation=[{"task": "sts", "path": str(path), "name": "mine"}]
    )
    job = prepare(recipe)
    assert (job.config.best_metric, job.config.best_mode) == ("mine/spearman", "max")
    result = run_recipe(recipe, tmp_path / "run", show_progress=False)
    found = evaluate(textzoo.load(result.model), "sts", path)
    assert result.scores["mine/spearman"] == pytest.approx(found.spearman, abs=1e-6)


def test_a_teachers_vectors_are_the_targets(make_recipe, tiny, tmp_path):
    recipe = make_recipe("distill", data={"teacher": tiny})
    result = run_recipe(recipe, tmp_path / "run", show_progress=False)
    # The student begins as its teacher.
    first = read_metrics(tmp_path / "run" / "metrics.jsonl")[0]
    assert first["teacher_cosine"] > 0.9
    assert len(list((tmp_path / "run" / "teacher").glob("*.npy"))) == 2
    assert result.step == 6


def test_a_model_stored_in_half_precision_is_trained_in_single():
    bundle = make_model(ModelSection(start="static_english_small", heads=(), max_length=32))
    assert bundle.model.embedding.table[...].dtype == np.float32
    assert len(bundle.model.heads) == 0
    assert bundle.tokenizer.max_length == 32
    # What is written into the model directory says the same.
    assert bundle.model.config.tokenizer.options["max_length"] == 32


def test_fresh_models_compute_in_the_dtype_asked_for():
    section = ModelSection(
        architecture="bert_tiny_uncased", new_vocabulary=50, dtype="bfloat16", max_length=40,
        overrides={"encoder": {"num_layers": 1, "max_length": 16}},
        pooling={"type": "ClsPooling"},
    )  # fmt: skip
    with pytest.raises(ConfigError, match="at most 16"):
        make_model(section, texts=["a cat"])
    bundle = make_model(dataclasses.replace(section, max_length=None), texts=["a cat"])
    config = bundle.model.config
    assert config.encoder.options["dtype"] == "bfloat16"
    assert config.pooling.type == "ClsPooling"
    assert config.embedding.options["vocab_size"] == 50
    assert bundle.tokenizer.max_length == config.tokenizer.options["max_length"] == 16


def test_a_fresh_model_begins_with_the_token_vectors_of_another(tiny):
    overrides = {
        "embedding": {"width": 8},
        "encoder": {"width": 8, "num_layers": 1, "num_heads": 2, "max_length": 16},
    }
    section = ModelSection(
        architecture="bert_tiny_uncased", embedding_from=tiny, overrides=overrides
    )
    bundle, source = make_model(section), load(tiny)
    np.testing.assert_array_equal(
        bundle.model.embedding.table[...], source.model.embedding.table[...]
    )
    assert bundle.tokenizer(["a cat"]).ids.tolist() == source.tokenizer(["a cat"]).ids.tolist()
    with pytest.raises(ConfigError, match="has another embedding than the architecture"):
        make_model(dataclasses.replace(section, overrides={}))
    with pytest.raises(ConfigError, match="model.embedding_from='no_model' is neither"):
        make_model(dataclasses.replace(section, embedding_from="no_model"))
    with pytest.raises(ConfigError, match="the tokens of that model are others"):
        make_model(dataclasses.replace(section, tokenizer="static_english_small"))


def test_a_narrower_model_begins_with_the_best_products_of_token_vectors(tiny):
    overrides = {
        "embedding": {"width": 3},
        "encoder": {"width": 3, "num_layers": 1, "num_heads": 1, "max_length": 16},
    }
    section = ModelSection(
        architecture="bert_tiny_uncased", embedding_from=tiny, overrides=overrides
    )
    table = np.asarray(make_model(section).model.embedding.table[...], np.float64)
    source = np.asarray(load(tiny).model.embedding.table[...], np.float64)
    left, sizes, right = np.linalg.svd(source, full_matrices=False)
    np.testing.assert_allclose(
        table @ table.T, (left[:, :3] * sizes[:3] ** 2) @ left[:, :3].T, atol=1e-5
    )
    np.testing.assert_allclose(np.abs(table), np.abs(left[:, :3] * sizes[:3]), atol=1e-5)


def test_an_architecture_over_bytes_brings_its_tokenizer():
    bundle = make_model(ModelSection(architecture="byte_bert_tiny", max_length=12))
    assert type(bundle.tokenizer).__name__ == "ByteTokenizer"
    assert bundle.tokenizer(["a long text that is cut"]).lengths.tolist() == [12]
    assert bundle.model.config.embedding == get_config("byte_bert_tiny").embedding
    with pytest.raises(ConfigError, match="needs a tokenizer; set model.tokenizer"):
        make_model(ModelSection(architecture="bert_tiny_uncased"))


def test_pieces_get_the_units_that_an_architecture_reads(tiny):
    section = ModelSection(
        architecture="charbert_tiny", tokenizer=tiny,
        overrides={"encoder": {"num_layers": 1}},
    )  # fmt: skip
    bundle = make_model(section)
    tokenized = bundle.tokenizer(["a cat"])
    assert tokenized.units is not None
    assert [len(tokenized.units_of(token)) for token in range(2)] == [1, 3]
    assert bundle.model.config.tokenizer.options["units"] == "characters"


def test_a_tokenizer_that_was_learned_is_kept(tmp_path):
    section = ModelSection(architecture="bert_tiny_uncased", new_vocabulary=50)
    first = make_model(section, texts=["a cat"])
    first.tokenizer.save(tmp_path)
    again = make_model(section, texts=["other letters"], folder=tmp_path)
    assert again.tokenizer.vocab_size == first.tokenizer.vocab_size
    assert again.tokenizer(["a cat"]).ids.tolist() == first.tokenizer(["a cat"]).ids.tolist()


def test_a_prefix_stands_before_the_texts_of_its_column(make_recipe, tmp_path):
    recipe = make_recipe("contrastive", data={**PAIRS, "prefixes": {"other": "red "}})
    job = prepare(recipe)
    stream = job.data(tmp_path)[0].stream()
    first, second = next(stream).batch.texts
    stream.close()
    assert set(second.ids[:, 0].tolist()) == {WORDS.index("red")}
    assert len(set(first.ids[:, 0].tolist())) > 1


def test_missing_files_and_columns_are_named(make_recipe, tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.tsv does not exist"):
        prepare(make_recipe(data={"sources": "nowhere.tsv"}))
    with pytest.raises(DataError, match=r"no column 'texts'; did you mean 'text'"):
        prepare(make_recipe(data={"columns": ["texts"]}))
    with pytest.raises(DataError, match=r"data\.sources=train\.tsv"):
        prepare(make_recipe(data={"sources": []}))
    with pytest.raises(ConfigError, match=r'needs labels.*data\.labels="label"'):
        prepare(make_recipe(data={"labels": None}))


def test_objectives_and_spans_that_do_not_go_together(make_recipe):
    with pytest.raises(ConfigError, match="'sub_sentence' compares spans; name their columns"):
        prepare(make_recipe("contrastive", objective={"type": "sub_sentence"}))
    spans = {**PAIRS, "spans": {"text": "spans"}, "span_labels": {"text": "says"}}
    with pytest.raises(ConfigError, match="compares whole texts; leave spans and span_labels out"):
        prepare(make_recipe("contrastive", data=spans))
