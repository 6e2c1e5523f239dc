"""Every family against transformers itself, on random weights."""

import numpy as np
import pytest
from flax import nnx

from textzoo.checkpoints.transformers_layout import read_transformers
from textzoo.modules import TextBatch

pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from reference_models import make_reference, reference_states  # noqa: E402
from tiny_families import CASES, make_batch, run, write_tokenizer  # noqa: E402

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("default")]


def read_states(directory, ids, mask):
    bundle = read_transformers(directory)
    return np.asarray(run(bundle.model, TextBatch(ids=ids, mask=mask)).hidden.states)


def save(model, directory, model_type, **options):
    model.save_pretrained(directory, **options)
    write_tokenizer(directory, model_type)


@pytest.mark.parametrize("name", CASES)
def test_states_equal_those_of_transformers(name, tmp_path):
    model = make_reference(name)
    save(model, tmp_path, CASES[name][0])
    ids, mask = make_batch(name)
    ours, theirs = read_states(tmp_path, ids, mask), reference_states(model, ids, mask)
    assert np.abs(theirs[mask]).mean() > 0.1
    difference = np.abs(ours - theirs)[mask].max()
    assert difference < 2e-5


TASK_CLASSES = {
    "bert": "BertForPreTraining",
    "roberta": "RobertaForMaskedLM",
    "xlm_roberta": "XLMRobertaForSequenceClassification",
    "distilbert": "DistilBertForMaskedLM",
    "electra": "ElectraForPreTraining",
    "albert": "AlbertForPreTraining",
    "mpnet": "MPNetForMaskedLM",
    "modernbert": "ModernBertForMaskedLM",
    "rembert": "RemBertForMaskedLM",
}


@pytest.mark.parametrize("name", TASK_CLASSES)
def test_heads_of_task_models_are_left_out(name, tmp_path):
    model = make_reference(name, model_class=getattr(transformers, TASK_CLASSES[name]))
    save(model, tmp_path, CASES[name][0])
    ids, mask = make_batch(name)
    theirs = reference_states(model.base_model, ids, mask)
    assert np.abs(read_states(tmp_path, ids, mask) - theirs)[mask].max() < 2e-5


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_files_load(dtype, tmp_path):
    import torch

    model = make_reference("bert").to(getattr(torch, dtype))
    save(model, tmp_path, "bert")
    ids, mask = make_batch("bert")
    theirs = reference_states(model.float(), ids, mask)
    assert np.abs(read_states(tmp_path, ids, mask) - theirs)[mask].max() < 2e-5


def test_sharded_files_load(tmp_path):
    model = make_reference("bert")
    save(model, tmp_path, "bert", max_shard_size="20KB")
    assert (tmp_path / "model.safetensors.index.json").is_file()
    ids, mask = make_batch("bert")
    theirs = reference_states(model, ids, mask)
    assert np.abs(read_states(tmp_path, ids, mask) - theirs)[mask].max() < 2e-5


def test_rotary_positions_hold_far_out(tmp_path):
    CASES["modernbert_long"] = ("modernbert", CASES["modernbert"][1] | {
        "max_position_embeddings": 3000, "local_attention": 128})  # fmt: skip
    try:
        model = make_reference("modernbert_long")
    finally:
        CASES.pop("modernbert_long")
    save(model, tmp_path, "modernbert")
    ids = np.random.default_rng(0).integers(4, 90, (1, 3000)).astype(np.int32)
    mask = np.ones_like(ids, bool)
    theirs = reference_states(model, ids, mask)
    assert np.abs(read_states(tmp_path, ids, mask) - theirs).max() < 1e-4


def test_all_layers_equal_those_of_transformers(tmp_path):
    import torch

    model = make_reference("bert")
    save(model, tmp_path, "bert")
    ids, mask = make_batch("bert")
    bundle = read_transformers(tmp_path)
    batch = TextBatch(ids=ids, mask=mask)
    encoder: nnx.Module = bundle.model.encoder
    hidden = encoder(bundle.model.embedding(batch), return_layers=True,
                     return_attention_diagonal=True)  # fmt: skip
    model.set_attn_implementation("eager")
    with torch.no_grad():
        theirs = model(
            input_ids=torch.tensor(ids, dtype=torch.long), attention_mask=torch.tensor(mask),
            output_hidden_states=True, output_attentions=True,
        )  # fmt: skip
    for ours, wanted in zip(hidden.layers, theirs.hidden_states, strict=True):
        assert np.abs(np.asarray(ours) - wanted.numpy())[mask].max() < 2e-5
    diagonal = np.stack([a.diagonal(dim1=-2, dim2=-1).numpy() for a in theirs.attentions], 1)
    difference = np.abs(np.asarray(hidden.attention_diagonal) - diagonal)
    assert np.moveaxis(difference, 3, 1)[mask].max() < 2e-5
