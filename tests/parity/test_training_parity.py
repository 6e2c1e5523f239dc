"""Contrastive training beside the trainer of sentence-transformers, step by step."""

import json

import numpy as np
import pytest
from flax import nnx
from tiny_families import make_texts, write_tokenizer

from textzoo import build
from textzoo.checkpoints.sentence_transformers_layout import read_sentence_transformers
from textzoo.trainers.data import TextData
from textzoo.trainers.data.packed_columns import PackedColumns
from textzoo.trainers.objectives.contrastive import ContrastiveObjective
from textzoo.trainers.optimizers import OptimizerConfig
from textzoo.trainers.schedules import ScheduleConfig
from textzoo.trainers.trainer import Trainer
from textzoo.trainers.training_config import TrainingConfig

torch = pytest.importorskip("torch")
pytest.importorskip("datasets")
pytest.importorskip("accelerate")
st = pytest.importorskip("sentence_transformers")
from sentence_transformers.base.modules import Normalize, Transformer  # noqa: E402
from sentence_transformers.base.sampler import DefaultBatchSampler  # noqa: E402
from sentence_transformers.sentence_transformer.losses import (  # noqa: E402
    MultipleNegativesRankingLoss,
)
from sentence_transformers.sentence_transformer.modules import Pooling  # noqa: E402

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("default")]

STEPS, BATCH, LENGTH, RATE, WARMUP = 5, 4, 20, 2e-3, 2


@pytest.fixture(scope="module")
def pairs():
    texts = [text for text in make_texts() if text.split()]
    count = STEPS * BATCH
    chosen = [texts[index % len(texts)] for index in range(count + 3)]
    return [
        {"anchor": f"{chosen[i]} {chosen[i + 1]}", "positive": chosen[i + 3]} for i in range(count)
    ]


@pytest.fixture(scope="module")
def peer(tmp_path_factory):
    """A tiny BERT with random weights that drops nothing, and where it is saved."""
    from reference_models import make_reference

    source, saved = tmp_path_factory.mktemp("bert"), tmp_path_factory.mktemp("model")
    make_reference("bert").save_pretrained(source)
    write_tokenizer(source, "bert")
    transformer = Transformer(str(source), max_seq_length=LENGTH)
    model = st.SentenceTransformer(
        modules=[transformer, Pooling(32, pooling_mode="mean"), Normalize()], device="cpu"
    )
    model.save_pretrained(str(saved))
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model, saved


@pytest.fixture(scope="module")
def peer_losses(peer, pairs, tmp_path_factory):
    import datasets

    model, _ = peer
    arguments = st.SentenceTransformerTrainingArguments(
        str(tmp_path_factory.mktemp("run")), max_steps=STEPS, per_device_train_batch_size=BATCH,
        learning_rate=RATE, lr_scheduler_type="linear", warmup_steps=WARMUP, weight_decay=0.1,
        max_grad_norm=1.0, use_cpu=True, logging_steps=1, report_to="none", save_strategy="no",
        disable_tqdm=True, batch_sampler=in_order,
    )  # fmt: skip
    trainer = st.SentenceTransformerTrainer(
        model, arguments, train_dataset=datasets.Dataset.from_list(pairs),
        loss=MultipleNegativesRankingLoss(model, scale=20.0),
    )  # fmt: skip
    trainer.train()
    return [record["loss"] for record in trainer.state.log_history if "loss" in record]


def in_order(dataset, **options):
    return DefaultBatchSampler(torch.utils.data.SequentialSampler(dataset), **options)


@pytest.mark.parametrize("is_packed", [False, True], ids=["a text to a row", "packed"])
def test_five_steps_have_the_losses_of_sentence_transformers(
    is_packed, peer, pairs, peer_losses, tmp_path
):
    bundle = read_sentence_transformers(peer[1])
    config = bundle.model.config.with_options(encoder={"dropout": 0.0, "attention_dropout": 0.0})
    model = build(config, rngs=nnx.Rngs(0))
    nnx.update(model, nnx.state(bundle.model, nnx.Param))
    data = TextData(
        pairs, bundle.tokenizer, columns=("anchor", "positive"), batch_size=BATCH,
        lengths=(LENGTH,), shuffle=False,
    )  # fmt: skip
    schedule = ScheduleConfig(kind="linear", peak=RATE, warmup_steps=WARMUP)
    trainer = Trainer(
        ContrastiveObjective(model, temperature=1 / 20, mask_duplicates=False),
        TrainingConfig(
            steps=STEPS, log_every=1,
            optimizer=OptimizerConfig(schedule=schedule, weight_decay=0.1, clip_norm=1.0),
        ),
        directory=tmp_path,
    )  # fmt: skip
    trainer.fit(PackedColumns(data, length=LENGTH, row_multiple=8) if is_packed else data)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    losses = [record["loss"] for record in map(json.loads, lines) if "loss" in record]
    assert len(losses) == len(peer_losses) == STEPS
    # They learn something, or equal losses would say nothing of the optimizer.
    assert abs(losses[0] - losses[-1]) > 0.01
    np.testing.assert_allclose(losses, peer_losses, rtol=1e-4, atol=1e-4)
