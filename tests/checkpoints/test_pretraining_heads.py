"""Heads of published pretraining, against losses that transformers computed."""

import json

import numpy as np
import pytest
from pretraining_cases import our_masked_loss, our_replaced_loss
from safetensors.numpy import load_file, save_file
from tiny_families import GOLDEN, write_tokenizer

from textzoo.checkpoints.pretraining_heads import (
    read_masked_language_head,
    read_replaced_token_head,
)
from textzoo.errors import ConfigError, WeightsError


def read(file, directory):
    """Writes what transformers would; returns ids, mask, labels and the loss."""
    with np.load(GOLDEN / f"{file}.npz") as data:
        stored = dict(data)
    (directory / "config.json").write_text(str(stored["config"]))
    prefix = "weights/"
    tensors = {
        name.removeprefix(prefix): array.astype(np.float32)
        for name, array in stored.items()
        if name.startswith(prefix)
    }
    save_file(tensors, directory / "model.safetensors")
    write_tokenizer(directory, json.loads(str(stored["config"]))["model_type"])
    ids, labels = stored["ids"].astype(np.int32), stored["labels"].astype(np.int64)
    return ids, stored["mask"], labels, float(stored["loss"])


def test_the_masked_language_loss_of_bert_is_that_of_transformers(tmp_path):
    ids, mask, labels, loss = read("bert_masked_language", tmp_path)
    np.testing.assert_allclose(our_masked_loss(tmp_path, ids, mask, labels), loss, rtol=1e-5)


def test_rembert_scores_with_an_output_table_of_its_own(tmp_path):
    ids, mask, labels, loss = read("rembert_masked_language", tmp_path)
    np.testing.assert_allclose(our_masked_loss(tmp_path, ids, mask, labels), loss, rtol=1e-5)
    head = read_masked_language_head(tmp_path)
    assert head.output.kernel.shape == (20, 90)


def test_the_replaced_token_loss_of_electra_is_that_of_transformers(tmp_path):
    ids, mask, labels, loss = read("electra_replaced_token", tmp_path)
    np.testing.assert_allclose(our_replaced_loss(tmp_path, ids, mask, labels), loss, rtol=1e-5)


def change(directory, *, config=None, without=()):
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | (config or {})))
    tensors = load_file(directory / "model.safetensors")
    kept = {
        name: array for name, array in tensors.items()
        if not any(part in name for part in without)
    }  # fmt: skip
    save_file(kept, directory / "model.safetensors")


def test_a_directory_without_the_head_is_refused(tmp_path):
    read("bert_masked_language", tmp_path)
    change(tmp_path, without=["cls."])
    with pytest.raises(WeightsError, match=r"has no tensor cls\.predictions\.transform\.dense"):
        read_masked_language_head(tmp_path)


def test_half_a_head_is_refused(tmp_path):
    read("bert_masked_language", tmp_path)
    change(tmp_path, without=["transform.dense.weight"])
    with pytest.raises(WeightsError, match=r"nothing fills dense\.kernel"):
        read_masked_language_head(tmp_path)


def test_an_output_table_of_its_own_is_refused(tmp_path):
    read("bert_masked_language", tmp_path)
    change(tmp_path, config={"tie_word_embeddings": False})
    with pytest.raises(ConfigError, match="has an output table of its own"):
        read_masked_language_head(tmp_path)


def test_the_head_of_another_family_is_refused(tmp_path):
    read("bert_masked_language", tmp_path)
    with pytest.raises(ConfigError, match="of type 'bert', whose head textzoo does not read"):
        read_replaced_token_head(tmp_path)


def test_heads_compute_in_the_type_that_is_asked_for(tmp_path):
    read("bert_masked_language", tmp_path)
    head = read_masked_language_head(tmp_path, dtype="bfloat16")
    assert head.dtype == np.dtype("bfloat16")
    assert head.dense.kernel.dtype == np.float32
