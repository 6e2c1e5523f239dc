"""A model for tests that need a real directory: a table of a few words, averaged."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import tokenizers
from flax import nnx

WORDS = ("[UNK]", "cat", "kitten", "dog", "car", "truck", "red", "sea", "the", "a", "sat")
WIDTH = 8


def write_tiny_model(directory: Path, *, prompts=None) -> Path:
    """Writes a textzoo directory: "cat" and "kitten" are near each other, "car" is not."""
    from textzoo import ModelConfig, Part, build
    from textzoo.checkpoints.bundle import Bundle
    from textzoo.checkpoints.directory import write_directory
    from textzoo.modules import SubwordTokenizer
    from textzoo.settings import EncoderSettings

    words = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]")
    )
    words.normalizer = tokenizers.normalizers.Lowercase()
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    config = ModelConfig(
        tokenizer=Part("SubwordTokenizer", max_length=16),
        embedding=Part("SubwordEmbedding", vocab_size=len(WORDS), width=WIDTH),
        pooling=Part("MeanPooling"),
        heads=(Part("Normalize"),),
    )
    model = build(config, rngs=nnx.Rngs(0))
    table = np.random.default_rng(0).normal(size=(len(WORDS), WIDTH))
    table[WORDS.index("kitten")] = table[WORDS.index("cat")] + 0.1
    model.embedding.table[...] = jnp.asarray(table, jnp.float32)
    settings = EncoderSettings(prompts=prompts or {})
    bundle = Bundle(
        model=model,
        tokenizer=SubwordTokenizer(words, max_length=16),
        settings=settings,
        name="tiny",
    )
    write_directory(Path(directory), bundle)
    return Path(directory)
