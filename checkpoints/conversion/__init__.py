"""Published checkpoints into our models, and our models into their layout, by tables."""

from textzoo.checkpoints.conversion.albert import ALBERT
from textzoo.checkpoints.conversion.bert import BERT, ELECTRA, ROBERTA, XLM_ROBERTA
from textzoo.checkpoints.conversion.canine import CANINE
from textzoo.checkpoints.conversion.distilbert import DISTILBERT
from textzoo.checkpoints.conversion.family import Family
from textzoo.checkpoints.conversion.modernbert import MODERNBERT
from textzoo.checkpoints.conversion.mpnet import MPNET
from textzoo.checkpoints.conversion.rembert import REMBERT

FAMILIES: dict[str, Family] = {
    family.model_type: family
    for family in (
        BERT,
        ROBERTA,
        XLM_ROBERTA,
        DISTILBERT,
        ELECTRA,
        ALBERT,
        MPNET,
        MODERNBERT,
        CANINE,
        REMBERT,
    )
}
"""By transformers model type. An export takes the first family that fits."""

__all__ = ["FAMILIES", "Family"]
