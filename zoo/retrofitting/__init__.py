"""Another embedding under an encoder that is trained already.

1. *Table*: the new embedding is fitted to the old one, every piece of the vocabulary an example
   (Char2Subword, Aguilar et al. 2021, calls this simulation). It needs no text.
2. *Frozen*: the whole model shall give the teacher's vectors of texts, and only the embedding
   learns (their integration, with distillation in place of masked tokens).
3. *Joint*: the same, and everything learns.

Each may be left out. Codes, low rank and tensor trains need no first stage, or a short one: they
are solved for the old table on the host, which takes seconds (``RetrofitConfig.solve``).

Texts of the last two may have mistakes, while the teacher's vector is that of
the clean text: so an embedding of characters learns to read what the old table cannot.

Notes:
    Char2Subword adds a cross-entropy over the vocabulary to the cosine of the rows; here the loss
    is the squared error, which fixes lengths as well, and nothing else.
"""

from textzoo.retrofitting.config import RetrofitConfig, Stage
from textzoo.retrofitting.run import RetrofitResult, retrofit

__all__ = ["RetrofitConfig", "RetrofitResult", "Stage", "retrofit"]
