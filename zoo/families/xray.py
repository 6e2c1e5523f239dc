"""XRayEmb: BERT over pieces, but words of several pieces as one vector made of their letters.

Paper: Pinter et al. 2021, "Learning to Look Inside: Augmenting Token-Based Encoders with
Character-Level Information", arXiv 2108.00391.
Reference: github.com/yuvalpinter/xrayemb.
Identical: an LSTM of two layers with 128 units a direction over 20 characters of width 50 between
two marks, the two maps behind it; the pieces of a word collapse to one position, whose token is
never masked and never predicted. The decoder of letters is ``textzoo.modules.heads.LettersHead``,
the objectives are ``textzoo.trainers.WordMimicObjective`` and masked language modeling.
Different: the LSTM begins with zeros, not with fixed random states. Words are collapsed by the
tokenizer, all of several pieces, where training in the paper draws a fifth of all words; see
``WordMimicObjective`` for what is trained when.
Published: better than its base models, mostly on English that is not standard, by its abstract.
"""

import functools
from typing import Any

from textzoo.config import ModelConfig, Part
from textzoo.families.shared import transformer_preset
from textzoo.registry import register_model
from textzoo.spec import ModelSpec

_spec = functools.partial(
    ModelSpec,
    paper="Pinter et al. 2021, Learning to Look Inside, arXiv 2108.00391",
    kind="mixed",
    status="architecture-only",
    license="Apache-2.0",
    max_length=512,
    training_data="none; in the paper, a second phase of pretraining from the weights of BERT",
)


def _preset(
    *, vocab_size: int, width: int, num_layers: int, num_heads: int, num_characters: int,
    unit_dim: int, unit_hidden_dim: int,
) -> ModelConfig:  # fmt: skip
    config = transformer_preset(
        vocab_size=vocab_size, width=width, num_layers=num_layers, num_heads=num_heads,
        num_types=2, dropout=0.1, attention_dropout=0.1,
    )  # fmt: skip
    words = Part(
        "CharacterLSTMEmbedding", width=width, unit_vocab_size=num_characters + 7,
        unit_dim=unit_dim, hidden_dim=unit_hidden_dim,
    )  # fmt: skip
    return config.replace(
        tokenizer=Part("WholeWordTokenizer", max_length=512, num_characters=num_characters),
        embedding=Part("XRayEmbedding", vocab_size=vocab_size, width=width, words=words),
    )


@register_model(
    _spec(
        summary="XRayEmb over BERT base (cased): words of several pieces by an LSTM of letters",
        parameters=108_610_734,
        width=768,
        dimension=768,
    )
)
def xray_bert_base(**overrides: Any) -> ModelConfig:
    """BERT base, 12 layers, D=768, 28,996 pieces; 2 layers of 128 units a direction for letters."""
    return _preset(
        vocab_size=28_996, width=768, num_layers=12, num_heads=12, num_characters=1000,
        unit_dim=50, unit_hidden_dim=128,
    ).with_options(**overrides)  # fmt: skip


@register_model(
    _spec(
        summary="XRayEmb over BERT tiny: words of several pieces by an LSTM of letters",
        parameters=4_435_376,
        width=128,
        dimension=128,
    )
)
def xray_bert_tiny(**overrides: Any) -> ModelConfig:
    """BERT tiny, 2 layers, D=128, 30,522 pieces; 2 layers of 32 units a direction for letters."""
    return _preset(
        vocab_size=30_522, width=128, num_layers=2, num_heads=2, num_characters=1000, unit_dim=16,
        unit_hidden_dim=32,
    ).with_options(**overrides)  # fmt: skip
