"""CharacterBERT: BERT over words whose vectors come from their bytes by convolutions.

Paper: El Boukkouri et al. 2020, "CharacterBERT: Reconciling ELMo and BERT for Word-Level
Open-Vocabulary Representations From Characters", arXiv 2010.10392.
Reference: github.com/helboukkouri/character-bert (``modeling/character_cnn.py``, itself after
AllenNLP's ELMo); ``tests/golden/make_character_cnn.py`` has its layers once more.
Identical: units of words, filters, maxima, highway layers, projection, with padding to 50 units
visible to the filters; the encoder is BERT's.
Different: texts are cut into words by one rule for all languages, lower-cased letter by letter, and
keep their accents, where the paper has BERT's rules. The last row of units is for special tokens,
the paper's first is for padding of texts.
Published: better than BERT at medical tasks, by its abstract. With BERT's pooling layer, which is
left out, this has 104.6 million parameters; the published weights are not read.
"""

import functools
from typing import Any

from textzoo.config import ModelConfig, Part
from textzoo.families.shared import transformer_preset
from textzoo.registry import register_model
from textzoo.spec import ModelSpec

_spec = functools.partial(
    ModelSpec,
    paper="El Boukkouri et al. 2020, CharacterBERT, arXiv 2010.10392",
    kind="char",
    status="architecture-only",
    license="Apache-2.0",
    max_length=512,
    training_data="none; in the paper, Wikipedia and OpenWebText",
)
_LONGEST, _PADDING = 50, 260


def _preset(
    *, width: int, num_layers: int, num_heads: int, filters: tuple[tuple[int, int], ...] | None
) -> ModelConfig:
    options: dict[str, Any] = {} if filters is None else {"filters": filters}
    config = transformer_preset(
        vocab_size=1, width=width, num_layers=num_layers, num_heads=num_heads, num_types=2,
        dropout=0.1, attention_dropout=0.1,
    )  # fmt: skip
    return config.replace(
        tokenizer=Part("WordTokenizer", max_length=512, max_units=_LONGEST, lowercase=True),
        embedding=Part(
            "CharacterCNNEmbedding", width=width, max_units=_LONGEST, padding_unit=_PADDING,
            **options,
        ),
    )  # fmt: skip


@register_model(
    _spec(
        summary="CharacterBERT: 12 layers of width 768 over 2,048 filters of bytes",
        parameters=104_013_168,
        width=768,
        dimension=768,
    )
)
def character_bert_base(**overrides: Any) -> ModelConfig:
    """BERT base, 12 layers, D=768, over ELMo's filters and two highway layers."""
    return _preset(width=768, num_layers=12, num_heads=12, filters=None).with_options(**overrides)


@register_model(
    _spec(
        summary="CharacterBERT, 2 layers of width 128 over 224 filters of bytes",
        parameters=710_224,
        width=128,
        dimension=128,
    )
)
def character_bert_tiny(**overrides: Any) -> ModelConfig:
    """BERT tiny, 2 layers, D=128, over filters of one to five bytes; a size of our own."""
    filters = ((1, 16), (2, 32), (3, 48), (4, 64), (5, 64))
    return _preset(width=128, num_layers=2, num_heads=2, filters=filters).with_options(**overrides)
