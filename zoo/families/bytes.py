"""BERT over bytes: a token for each byte, and a table of 384 rows.

Paper: Xue et al. 2022, "ByT5: Towards a Token-Free Future with Pre-trained Byte-to-Byte Models",
TACL, arXiv 2105.13626, for the bytes and their special tokens; Devlin et al. 2019, arXiv
1810.04805, for the encoder.
Reference: transformers ``ByT5Tokenizer``, ``BertModel``.
Identical: ids and table of ByT5; every operation of BERT's encoder.
Different: ByT5 is a T5, an encoder with a decoder; this is a BERT whose tokens are bytes, for
comparisons with subwords under the same encoder.
Published: none of these sizes, which are our own.
"""

import functools
from typing import Any

from textzoo.config import ModelConfig, Part
from textzoo.families.shared import transformer_preset
from textzoo.registry import register_model
from textzoo.spec import ModelSpec

_LONGEST = 1024

_spec = functools.partial(
    ModelSpec,
    paper="Xue et al. 2022, ByT5, arXiv 2105.13626; Devlin et al. 2019, arXiv 1810.04805",
    kind="byte",
    status="architecture-only",
    license="Apache-2.0",
    max_length=_LONGEST,
    training_data="none",
)


def _preset(width: int, num_layers: int, num_heads: int) -> ModelConfig:
    return transformer_preset(
        vocab_size=384, width=width, num_layers=num_layers, num_heads=num_heads,
        max_length=_LONGEST, num_types=2, dropout=0.1, attention_dropout=0.1,
    ).replace(tokenizer=Part("ByteTokenizer", max_length=_LONGEST))  # fmt: skip


@register_model(
    _spec(
        summary="BERT tiny over bytes: 2 layers of width 128",
        parameters=577_280,
        width=128,
        dimension=128,
    )
)
def byte_bert_tiny(**overrides: Any) -> ModelConfig:
    """BERT tiny over up to 1,024 bytes: 2 layers, D=128."""
    return _preset(128, 2, 2).with_options(**overrides)


@register_model(
    _spec(
        summary="BERT small over bytes: 6 layers of width 384",
        parameters=11_188_992,
        width=384,
        dimension=384,
    )
)
def byte_bert_small(**overrides: Any) -> ModelConfig:
    """BERT over up to 1,024 bytes: 6 layers, D=384, like MiniLM's smaller one."""
    return _preset(384, 6, 12).with_options(**overrides)
