"""Encoders answer "how do the tokens relate?": states to states."""

from textzoo.modules.encoders.canine import CanineEncoder
from textzoo.modules.encoders.charbert import CharBertEncoder
from textzoo.modules.encoders.convolution import ConvolutionEncoder
from textzoo.modules.encoders.hierarchical import HierarchicalEncoder
from textzoo.modules.encoders.identity import IdentityEncoder
from textzoo.modules.encoders.next_level import NextLevelEncoder
from textzoo.modules.encoders.recurrent import RecurrentEncoder
from textzoo.modules.encoders.recursive_convolution import RecursiveConvolution
from textzoo.modules.encoders.side import SideVectorsEncoder
from textzoo.modules.encoders.transformer import TransformerEncoder
from textzoo.modules.encoders.wave import WaveEncoder
from textzoo.modules.encoders.windowed import WindowedEncoder

__all__ = [
    "CanineEncoder",
    "CharBertEncoder",
    "ConvolutionEncoder",
    "HierarchicalEncoder",
    "IdentityEncoder",
    "NextLevelEncoder",
    "RecurrentEncoder",
    "RecursiveConvolution",
    "SideVectorsEncoder",
    "TransformerEncoder",
    "WaveEncoder",
    "WindowedEncoder",
]
