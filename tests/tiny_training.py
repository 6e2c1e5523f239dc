"""Tiny training runs: a model, rows and configs that train in a second."""

import functools

import jax
import tokenizers
from flax import nnx
from tiny_encoder import SENTENCES

from textzoo import ModelConfig, Part, build
from textzoo.modules import SubwordTokenizer
from textzoo.trainers.data import TextData
from textzoo.trainers.objectives.contrastive import ContrastiveObjective
from textzoo.trainers.optimizers import OptimizerConfig
from textzoo.trainers.schedules import ScheduleConfig
from textzoo.trainers.training_config import TrainingConfig

LENGTH = 24
VOCAB_SIZE = 64
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


@functools.cache
def word_tokenizer() -> SubwordTokenizer:
    """One token per word; the same in every process, unlike one that is trained."""
    words = sorted({word.strip(",") for sentence in SENTENCES for word in sentence.split()})
    ids = {word: index for index, word in enumerate((*SPECIAL, *words))}
    library = tokenizers.Tokenizer(tokenizers.models.WordLevel(ids, unk_token="[UNK]"))
    library.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    library.add_special_tokens(list(SPECIAL))
    return SubwordTokenizer(library, max_length=LENGTH)


def tiny_model(*, layers: int = 0, dropout: float = 0.1, width: int = 8, seed: int = 0):
    """A table of tokens, or with layers a transformer, which takes seconds to compile."""
    encoder = Part("IdentityEncoder")
    if layers:
        encoder = Part(
            "TransformerEncoder", width=width, num_layers=layers, num_heads=2, hidden_dim=16,
            max_length=LENGTH, dropout=dropout, attention_dropout=dropout,
        )  # fmt: skip
    config = ModelConfig(
        tokenizer=Part("SubwordTokenizer", max_length=LENGTH),
        embedding=Part("SubwordEmbedding", vocab_size=VOCAB_SIZE, width=width),
        encoder=encoder,
        pooling=Part("MeanPooling"),
        heads=(Part("Normalize"),),
    )  # fmt: skip
    return build(config, rngs=nnx.Rngs(seed))


def pairs() -> list[dict[str, str]]:
    words = [sentence.split() for sentence in SENTENCES]
    return [
        {"anchor": " ".join(text[cut:]), "positive": " ".join(text[:cut])}
        for text in words
        for cut in range(2, len(text) - 1)
    ]


def pair_data(*, batch_size: int = 8, seed: int = 0) -> TextData:
    return TextData(
        pairs(), word_tokenizer(), columns=("anchor", "positive"),
        batch_size=batch_size, lengths=(LENGTH,), keys=True, seed=seed,
    )  # fmt: skip


def training_config(steps: int = 6, *, peak: float = 1e-3, **options) -> TrainingConfig:
    optimizer = OptimizerConfig(schedule=ScheduleConfig(peak=peak, warmup_steps=2))
    return TrainingConfig(steps=steps, optimizer=optimizer, log_every=1, **options)


objective = functools.partial(ContrastiveObjective, temperature=0.05)


def first_device() -> list[jax.Device]:
    return jax.devices()[:1]
