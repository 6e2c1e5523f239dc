"""A model together with everything that is saved with it."""

import dataclasses

from textzoo.model import TextModel
from textzoo.modules import Tokenizer
from textzoo.settings import EncoderSettings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bundle:
    """What a model directory holds, in memory.

    Attributes:
        model: with its parameters and its config.
        tokenizer: ready to use; ``None`` when the directory has none.
        settings: prompts, similarity, output width.
        name: for messages and cards.
    """

    model: TextModel
    tokenizer: Tokenizer | None
    settings: EncoderSettings = EncoderSettings()
    name: str = ""
