"""Embeddings answer "what is this token?": ids or units to states."""

from textzoo.modules.embeddings.byte2word import Byte2WordEmbedding
from textzoo.modules.embeddings.canine import CodePointHashEmbedding
from textzoo.modules.embeddings.char2subword import Char2SubwordEmbedding
from textzoo.modules.embeddings.character_cnn import CharacterCNNEmbedding
from textzoo.modules.embeddings.charbert import CharacterChannelEmbedding, CharBertEmbedding
from textzoo.modules.embeddings.composition import (
    ConcatenateEmbedding,
    GatedEmbedding,
    SumEmbedding,
)
from textzoo.modules.embeddings.fourier import FourierEmbedding
from textzoo.modules.embeddings.frozen import FrozenEmbedding
from textzoo.modules.embeddings.gbst import GBSTEmbedding
from textzoo.modules.embeddings.hashed import HashedEmbedding
from textzoo.modules.embeddings.mixed import MixedVocabularyEmbedding
from textzoo.modules.embeddings.multi_hash import MultiHashEmbedding
from textzoo.modules.embeddings.n_grams import NGramEmbedding
from textzoo.modules.embeddings.product_quantized import ProductQuantizedEmbedding
from textzoo.modules.embeddings.quotient_remainder import QuotientRemainderEmbedding
from textzoo.modules.embeddings.side import SideEmbedding
from textzoo.modules.embeddings.subspace import SubspaceEmbedding
from textzoo.modules.embeddings.subword import SubwordEmbedding
from textzoo.modules.embeddings.tensor_train import TensorTrainEmbedding
from textzoo.modules.embeddings.token_n_grams import TokenNGramEmbedding
from textzoo.modules.embeddings.xray import CharacterLSTMEmbedding, XRayEmbedding

__all__ = [
    "Byte2WordEmbedding",
    "Char2SubwordEmbedding",
    "CharBertEmbedding",
    "CharacterCNNEmbedding",
    "CharacterChannelEmbedding",
    "CharacterLSTMEmbedding",
    "CodePointHashEmbedding",
    "ConcatenateEmbedding",
    "FourierEmbedding",
    "FrozenEmbedding",
    "GBSTEmbedding",
    "GatedEmbedding",
    "HashedEmbedding",
    "MixedVocabularyEmbedding",
    "MultiHashEmbedding",
    "NGramEmbedding",
    "ProductQuantizedEmbedding",
    "QuotientRemainderEmbedding",
    "SideEmbedding",
    "SubspaceEmbedding",
    "SubwordEmbedding",
    "SumEmbedding",
    "TensorTrainEmbedding",
    "TokenNGramEmbedding",
    "XRayEmbedding",
]
