"""Small BERTs over a small vocabulary, whose table learned in the space of a large one.

Paper: Zhao et al. 2021, "Extremely Small BERT Models from Mixed-Vocabulary Training", EACL; arXiv
1909.11687.
Reference: none was released.
Identical: a vocabulary of 4,928 WordPieces, students of 6 layers of width 256 and 12 of width 48;
both stages can be trained. Stage I is the teacher over both vocabularies: its own table, and the
student's with a map, ``Part("MixedVocabularyEmbedding", parts=(Part("SubwordEmbedding",
vocab_size=30522, width=1024), Part("SubwordEmbedding", vocab_size=4928, width=1024,
factor_dim=48, factor_bias=True)))``, with ``MixedVocabularyTokenizer`` and
``MixedVocabularyObjective``. The student then begins with ``narrow_part`` of that.
Different: the paper's numbers of heads could not be checked; here there are 4. One tokenizer cuts a
text the same way in every epoch.
Published: an order of magnitude smaller than other distilled BERTs, at a better trade-off on GLUE
and SNIPS; the figures could not be checked.
"""

import functools
from typing import Any

from textzoo.config import ModelConfig
from textzoo.families.shared import transformer_preset
from textzoo.registry import register_model
from textzoo.spec import ModelSpec

_spec = functools.partial(
    ModelSpec,
    paper="Zhao et al. 2021, Extremely Small BERT Models, arXiv 1909.11687",
    kind="subword",
    status="architecture-only",
    license="Apache-2.0",
    max_length=512,
    training_data="none; in the paper, BookCorpus and English Wikipedia",
)
_preset = functools.partial(
    transformer_preset, vocab_size=4928, num_heads=4, num_types=2, dropout=0.1,
    attention_dropout=0.1,
)  # fmt: skip


@register_model(
    _spec(
        summary="6 layers of width 256 over 4,928 pieces",
        parameters=6_132_224,
        width=256,
        dimension=256,
    )
)
def mixed_vocabulary_l6_256(**overrides: Any) -> ModelConfig:
    """6 layers, D=256, over 4,928 pieces."""
    return _preset(width=256, num_layers=6).with_options(**overrides)


@register_model(
    _spec(
        summary="12 layers of width 48 over 4,928 pieces",
        parameters=600_576,
        width=48,
        dimension=48,
    )
)
def mixed_vocabulary_l12_48(**overrides: Any) -> ModelConfig:
    """12 layers, D=48, over 4,928 pieces."""
    return _preset(width=48, num_layers=12).with_options(**overrides)
