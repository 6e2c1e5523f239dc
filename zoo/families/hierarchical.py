"""Hierarchical encoders of documents: a transformer over segments, and something above it.

Paper: Pappagari et al. 2019, "Hierarchical Transformers for Long Document Classification", arXiv
1910.10781 (RoBERT and ToBERT); Czinczoll et al. 2024, "NextLevelBERT", arXiv 2402.17682.
Reference: none of Pappagari et al.'s; github.com/aiintelligentsystems/next-level-bert, whose upper
part is compared in ``tests/golden/make_next_level.py``.
Identical: BERT base over segments of 200 tokens; an LSTM with 100 units, of which the last state is
taken, or two transformer layers above; all-MiniLM-L6-v2 over chunks of 256 tokens and a second one
above them.
Different: segments are cut from the embedded document, and have no special tokens of their own;
their vectors are means, where RoBERT and ToBERT take the pooler's. "A shift of 50 tokens" is read
as the distance of neighboring segments. ToBERT's top has two layers, and here 12 heads, a
feed-forward width of 3072 and no positions, which we could not check. The classifier of RoBERT is
left out, but for its layer of 30 units with a relu, which has no biases here.
Published: 20 Newsgroups, accuracy about 84.7 (RoBERT) and 85.5 (ToBERT).
"""

import functools
from typing import Any

from textzoo.config import ModelConfig, Part
from textzoo.registry import register_model
from textzoo.spec import ModelSpec

_spec = functools.partial(
    ModelSpec,
    kind="subword",
    status="architecture-only",
    license="Apache-2.0",
    training_data="none; in the paper, the texts of the task over published weights of BERT",
)
_ROBERT = "Pappagari et al. 2019, arXiv 1910.10781"


def _transformer(width: int, num_layers: int, num_heads: int, **options: Any) -> Part:
    return Part(
        "TransformerEncoder", width=width, num_layers=num_layers, num_heads=num_heads,
        hidden_dim=4 * width, **options,
    )  # fmt: skip


def _preset(
    segment_encoder: Part, top_encoder: Part, *, width: int, max_length: int, pooling: str,
    **options: Any,
) -> ModelConfig:  # fmt: skip
    return ModelConfig(
        tokenizer=Part("SubwordTokenizer", max_length=max_length),
        embedding=Part("SubwordEmbedding", vocab_size=30_522, width=width),
        encoder=Part(
            "HierarchicalEncoder", segment_encoder=segment_encoder, top_encoder=top_encoder,
            **options,
        ),
        pooling=Part(pooling),
    )  # fmt: skip


@register_model(
    _spec(
        summary="RoBERT: BERT base over segments of 200 tokens, an LSTM above",
        paper=_ROBERT,
        parameters=109_242_248,
        width=768,
        dimension=30,
        max_length=5_000,
    )
)
def robert_base(**overrides: Any) -> ModelConfig:
    """Segments every 50 tokens, read by BERT base; the last state of an LSTM, and 30 units."""
    return _preset(
        _transformer(768, 12, 12, num_types=2, dropout=0.1, attention_dropout=0.1),
        Part("RecurrentEncoder", width=100, embed_dim=768, is_bidirectional=False),
        width=768, max_length=5000, window=200, stride=50, pooling="LastPooling",
    ).replace(
        heads=[Part("Dense", in_features=100, out_features=30, use_bias=False, activation="relu")]
    ).with_options(**overrides)  # fmt: skip


@register_model(
    _spec(
        summary="ToBERT: BERT base over segments of 200 tokens, a transformer above",
        paper=_ROBERT,
        parameters=123_068_928,
        width=768,
        dimension=768,
        max_length=5_000,
    )
)
def tobert_base(**overrides: Any) -> ModelConfig:
    """Segments every 50 tokens, read by BERT base; two transformer layers, D=768."""
    return _preset(
        _transformer(768, 12, 12, num_types=2, dropout=0.1, attention_dropout=0.1),
        _transformer(768, 2, 12, positions="none", dropout=0.1, attention_dropout=0.1),
        width=768, max_length=5000, window=200, stride=50, pooling="MeanPooling",
    ).with_options(**overrides)  # fmt: skip


@register_model(
    _spec(
        summary="NextLevelBERT: MiniLM over chunks of 256 tokens, another one above",
        paper="Czinczoll et al. 2024, arXiv 2402.17682",
        parameters=33_411_072,
        width=384,
        dimension=384,
        max_length=130_560,
        training_data="none; in the paper, books over the weights of all-MiniLM-L6-v2",
    )
)
def next_level_bert(**overrides: Any) -> ModelConfig:
    """Up to 510 chunks of 256 tokens, D=384."""
    small = functools.partial(
        _transformer, 384, 6, 12, num_types=2, dropout=0.1, attention_dropout=0.1
    )
    return _preset(
        small(), Part("NextLevelEncoder", encoder=small(), width=384),
        width=384, max_length=510 * 256, window=256, pooling="MeanPooling",
    ).with_options(**overrides)  # fmt: skip
