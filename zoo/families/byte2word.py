"""Byte2Word: BERT over words whose vectors come from their bytes by cross-attention.

Paper: Lee et al. 2022, "Word-Level Representation From Bytes For Language Modeling", arXiv
2211.12677.
Reference: none is public.
Identical: words between white space, each from its bytes by attention of learned queries; BERT's
encoder. The head that guesses subwords is ``textzoo.modules.heads.WordPiecesHead``.
Different: only the abstract could be read, so that sizes and layers of the embedding are a reading
of it; see ``Byte2WordEmbedding``.
Published: on par with BERT with 10% of its table, which would be 2.3 million parameters; here it
has 1.65 million, 7%.
"""

import functools
from typing import Any

from textzoo.config import ModelConfig, Part
from textzoo.families.shared import transformer_preset
from textzoo.registry import register_model
from textzoo.spec import ModelSpec

_spec = functools.partial(
    ModelSpec,
    paper="Lee et al. 2022, Word-Level Representation From Bytes, arXiv 2211.12677",
    kind="byte",
    status="architecture-only",
    license="Apache-2.0",
    max_length=512,
    training_data="none; in the paper, that of a language model",
)
_LONGEST = 32


def _preset(
    *, width: int, num_layers: int, num_heads: int, unit_dim: int, num_queries: int
) -> ModelConfig:
    config = transformer_preset(
        vocab_size=1, width=width, num_layers=num_layers, num_heads=num_heads, num_types=2,
        dropout=0.1, attention_dropout=0.1,
    )  # fmt: skip
    return config.replace(
        tokenizer=Part(
            "WordTokenizer", max_length=512, max_units=_LONGEST, split="spaces", mark_words=False
        ),
        embedding=Part(
            "Byte2WordEmbedding", width=width, unit_dim=unit_dim, num_queries=num_queries,
            max_units=_LONGEST,
        ),
    )  # fmt: skip


@register_model(
    _spec(
        summary="Byte2Word: 12 layers of width 768 over attention to the bytes of a word",
        parameters=87_104_256,
        width=768,
        dimension=768,
    )
)
def byte2word_base(**overrides: Any) -> ModelConfig:
    """BERT base, 12 layers, D=768; four queries of width 256 attend to the bytes."""
    return _preset(
        width=768, num_layers=12, num_heads=12, unit_dim=256, num_queries=4
    ).with_options(**overrides)


@register_model(
    _spec(
        summary="Byte2Word, 2 layers of width 128 over attention to the bytes of a word",
        parameters=548_096,
        width=128,
        dimension=128,
    )
)
def byte2word_tiny(**overrides: Any) -> ModelConfig:
    """BERT tiny, 2 layers, D=128; two queries of width 64 attend to the bytes."""
    return _preset(width=128, num_layers=2, num_heads=2, unit_dim=64, num_queries=2).with_options(
        **overrides
    )
