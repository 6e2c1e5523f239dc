"""Another embedding under an encoder that is trained already.

1. *Table*: the new embedding is fitted to the old one, every piece of the vocabulary an example
   (Char2Subword, Aguilar et al. 2021, calls this simulation). It needs no text. The loss is the
   squared error, which fixes lengths as well; ``RetrofitConfig.mimic`` adds the paper's terms.
2. *Masked*: masked tokens of texts are guessed by the whole model, and only the embedding and a
   head learn, while what the head compares with are the old rows (their integration).
3. *Frozen*: the whole model shall give the teacher's vectors of texts, and only the embedding
   learns (the same with distillation in place of masked tokens).
4. *Joint*: the same, and everything learns.

Each may be left out, and *masked* is, unless it is asked for. Codes, low rank and tensor trains
need no first stage, or a short one: they are solved for the old table on the host, codes in a
minute or two (``RetrofitConfig.solve``).

Texts of the last two may have mistakes, while the teacher's vector is that of the clean text: so an
embedding of characters learns to read what the old table cannot. Pieces of the first two may be
misspelled by a letter.
"""

from textzoo.retrofitting.config import Mimic, RetrofitConfig, Stage
from textzoo.retrofitting.run import RetrofitResult, retrofit

__all__ = ["Mimic", "RetrofitConfig", "RetrofitResult", "Stage", "retrofit"]
