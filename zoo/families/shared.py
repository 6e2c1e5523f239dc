"""What the presets of transformer families have in common."""

from typing import Any

from textzoo.config import ModelConfig, Part


def transformer_preset(
    *,
    vocab_size: int,
    width: int,
    num_layers: int,
    num_heads: int,
    hidden_dim: int | None = None,
    embed_dim: int | None = None,
    max_length: int = 512,
    **options: Any,
) -> ModelConfig:
    """A subword table, a transformer and the mean of its states.

    Args:
        vocab_size: V, rows of the table.
        width: D.
        num_layers: N.
        num_heads: H.
        hidden_dim: F; four times the width when absent.
        embed_dim: width of the table when it is not D.
        max_length: longest text, in tokens, for tokenizer and transformer.
        **options: further options of ``TransformerEncoder``.
    """
    if embed_dim is not None:
        options["embed_dim"] = embed_dim
    return ModelConfig(
        tokenizer=Part("SubwordTokenizer", max_length=max_length),
        embedding=Part("SubwordEmbedding", vocab_size=vocab_size, width=embed_dim or width),
        encoder=Part(
            "TransformerEncoder", width=width, num_layers=num_layers, num_heads=num_heads,
            hidden_dim=hidden_dim or 4 * width, max_length=max_length, **options,
        ),
        pooling=Part("MeanPooling"),
    )  # fmt: skip
