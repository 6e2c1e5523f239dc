"""textzoo: text-representation models in JAX, made of parts.

Names are imported on first use, so that ``import textzoo`` is fast and starts no backend.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_EXPORTS = {
    "ModelConfig": "textzoo.config",
    "ModelSpec": "textzoo.spec",
    "Part": "textzoo.config",
    "Result": "textzoo.spec",
    "TextEncoder": "textzoo.text_encoder",
    "TextModel": "textzoo.model",
    "Weights": "textzoo.spec",
    "build": "textzoo.parts",
    "create_model": "textzoo.registry",
    "get_spec": "textzoo.registry",
    "list_models": "textzoo.registry",
    "load": "textzoo.loading",
    "register_model": "textzoo.registry",
    "register_module": "textzoo.parts",
}

__all__ = [
    "ModelConfig",
    "ModelSpec",
    "Part",
    "Result",
    "TextEncoder",
    "TextModel",
    "Weights",
    "build",
    "create_model",
    "get_spec",
    "list_models",
    "load",
    "register_model",
    "register_module",
]

if TYPE_CHECKING:
    from textzoo.config import ModelConfig, Part
    from textzoo.loading import load
    from textzoo.model import TextModel
    from textzoo.parts import build, register_module
    from textzoo.registry import create_model, get_spec, list_models, register_model
    from textzoo.spec import ModelSpec, Result, Weights
    from textzoo.text_encoder import TextEncoder


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'textzoo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_EXPORTS])
