"""textzoo: text-representation models in JAX, made of parts.

Names are imported on first use, so that ``import textzoo`` is fast and starts no backend.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_EXPORTS = {
    "ModelConfig": "textzoo.config",
    "Part": "textzoo.config",
    "TextEncoder": "textzoo.text_encoder",
    "TextModel": "textzoo.model",
    "build": "textzoo.parts",
    "load": "textzoo.loading",
    "register_module": "textzoo.parts",
}

__all__ = ["ModelConfig", "Part", "TextEncoder", "TextModel", "build", "load", "register_module"]

if TYPE_CHECKING:
    from textzoo.config import ModelConfig, Part
    from textzoo.loading import load
    from textzoo.model import TextModel
    from textzoo.parts import build, register_module
    from textzoo.text_encoder import TextEncoder


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'textzoo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_EXPORTS])
