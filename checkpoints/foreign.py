"""Model directories in the layouts of other libraries."""

from textzoo.checkpoints.sentence_transformers_export import write_sentence_transformers
from textzoo.checkpoints.sentence_transformers_layout import read_sentence_transformers
from textzoo.checkpoints.static_layout import read_model2vec
from textzoo.checkpoints.transformers_layout import read_transformers

__all__ = [
    "read_model2vec",
    "read_sentence_transformers",
    "read_transformers",
    "write_sentence_transformers",
]
