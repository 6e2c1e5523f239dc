"""Tiny tokenizers of the three kinds and tiny encoders, for tests."""

import functools

import tokenizers
from flax import nnx
from tokenizers import models, normalizers, pre_tokenizers, processors, trainers

from textzoo import ModelConfig, Part, TextEncoder, build
from textzoo.modules import SubwordTokenizer

SENTENCES = (
    "the quick brown fox jumps over the lazy dog",
    "a naïve café owner reads news about stock markets",
    "cats and dogs are pets, foxes are not",
    "markets fell while the owner of the café slept",
    "jumping over lazy pets is not news",
)
KINDS = ("wordpiece", "bpe", "unigram")


@functools.cache
def library_tokenizer(kind: str) -> tokenizers.Tokenizer:
    """A tokenizer of the library, trained on a few sentences; shared, so never changed."""
    if kind == "wordpiece":
        tokenizer = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer()
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(
            vocab_size=180, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]"], show_progress=False
        )
        first, last = "[CLS]", "[SEP]"
    elif kind == "bpe":
        tokenizer = tokenizers.Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = trainers.BpeTrainer(
            vocab_size=400, special_tokens=["<s>", "<pad>", "</s>"], show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        )  # fmt: skip
        first, last = "<s>", "</s>"
    else:
        tokenizer = tokenizers.Tokenizer(models.Unigram())
        tokenizer.normalizer = normalizers.NFKC()
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=120, special_tokens=["<unk>", "<s>", "</s>"], unk_token="<unk>",
            show_progress=False,
        )  # fmt: skip
        first, last = "<s>", "</s>"
    tokenizer.train_from_iterator(SENTENCES * 4, trainer)
    ids = [(token, tokenizer.token_to_id(token)) for token in (first, last)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}", special_tokens=ids
    )
    return tokenizer


def tiny_tokenizer(kind: str = "wordpiece", **options) -> SubwordTokenizer:
    return SubwordTokenizer(library_tokenizer(kind), **{"max_length": 32, **options})


@functools.cache
def tiny_model(*, layers: int = 0, normalize: bool = True, vocab_size: int = 400):
    """A static model, or a transformer of some layers; E = 8."""
    encoder = Part("IdentityEncoder")
    if layers:
        encoder = Part(
            "TransformerEncoder", width=8, num_layers=layers, num_heads=2, hidden_dim=16,
            max_length=64,
        )  # fmt: skip
    config = ModelConfig(
        tokenizer=Part("SubwordTokenizer", max_length=32),
        embedding=Part("SubwordEmbedding", vocab_size=vocab_size, width=8),
        encoder=encoder,
        pooling=Part("MeanPooling"),
        heads=(Part("Normalize"),) if normalize else (),
    )
    return build(config, rngs=nnx.Rngs(0))


def tiny_encoder(
    kind: str = "wordpiece", *, layers: int = 0, normalize: bool = True, **options
) -> TextEncoder:
    options.setdefault("tokens_per_batch", 128)
    tokenizer = options.pop("tokenizer", None) or tiny_tokenizer(kind)
    return TextEncoder(tiny_model(layers=layers, normalize=normalize), tokenizer, **options)
