"""Char2Subword: multilingual BERT whose table of pieces is a transformer over their characters.

Paper: Aguilar et al. 2021, "Char2Subword: Extending the Subword Embedding Space Using Robust
Character Compositionality", arXiv 2010.12730.
Reference: none is public.
Identical: pieces of multilingual BERT by their characters, a module that learns to give the rows of
the old table first (``textzoo.retrofitting`` with ``mimic``) and learns within the model then.
Different: layers and sizes of the module are a reading, see ``Char2SubwordEmbedding``. Special
tokens have rows of their own.
Published: better than multilingual BERT at LinCE, by its abstract, which has no figures.
"""

import functools
from typing import Any

from textzoo.config import ModelConfig, Part
from textzoo.families.shared import transformer_preset
from textzoo.registry import register_model
from textzoo.spec import ModelSpec

_spec = functools.partial(
    ModelSpec,
    paper="Aguilar et al. 2021, Char2Subword, arXiv 2010.12730",
    kind="char",
    status="architecture-only",
    license="Apache-2.0",
    max_length=512,
    training_data="none; in the paper, Wikipedia, from the weights of multilingual BERT",
)
_SPECIAL = (0, 100, 101, 102, 103)  # [PAD] [UNK] [CLS] [SEP] [MASK] of BERT's vocabularies
_LONGEST = 24


def _preset(
    *, width: int, num_layers: int, num_heads: int, num_characters: int, unit_layers: int,
    unit_dim: int,
) -> ModelConfig:  # fmt: skip
    config = transformer_preset(
        vocab_size=1, width=width, num_layers=num_layers, num_heads=num_heads, num_types=2,
        dropout=0.1, attention_dropout=0.1,
    )  # fmt: skip
    return config.replace(
        tokenizer=Part(
            "SubwordTokenizer", max_length=512, units="characters", max_units=_LONGEST,
            num_characters=num_characters, mark_words=True,
        ),
        embedding=Part(
            "Char2SubwordEmbedding", width=width, unit_vocab_size=num_characters + 7,
            max_units=_LONGEST, kept_ids=_SPECIAL, num_layers=unit_layers, unit_dim=unit_dim,
        ),
    )  # fmt: skip


@register_model(
    _spec(
        summary="Multilingual BERT over 4 layers of width 256 that read the characters of pieces",
        parameters=91_373_312,
        width=768,
        dimension=768,
    )
)
def char2subword_bert_base(**overrides: Any) -> ModelConfig:
    """BERT base, 12 layers, D=768; 10,000 characters of width 256 under 4 layers."""
    return _preset(
        width=768, num_layers=12, num_heads=12, num_characters=10_000, unit_layers=4, unit_dim=256
    ).with_options(**overrides)


@register_model(
    _spec(
        summary="BERT tiny over 2 layers of width 64 that read the characters of pieces",
        parameters=636_096,
        width=128,
        dimension=128,
    )
)
def char2subword_bert_tiny(**overrides: Any) -> ModelConfig:
    """BERT tiny, 2 layers, D=128; 1,000 characters of width 64 under 2 layers."""
    return _preset(
        width=128, num_layers=2, num_heads=2, num_characters=1_000, unit_layers=2, unit_dim=64
    ).with_options(**overrides)
