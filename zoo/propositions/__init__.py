"""What sentences claim: splitting, alignment with free text, labels, and training rows."""

from textzoo.propositions.alignment import align
from textzoo.propositions.labels import merged_labels
from textzoo.propositions.rows import (
    ClaimPair,
    annotated_pairs,
    entailment_pairs,
    rows_of,
    split_pairs,
)
from textzoo.propositions.splitting import split_propositions, split_sentences

__all__ = [
    "ClaimPair",
    "align",
    "annotated_pairs",
    "entailment_pairs",
    "merged_labels",
    "rows_of",
    "split_pairs",
    "split_propositions",
    "split_sentences",
]
