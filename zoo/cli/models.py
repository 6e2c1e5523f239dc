"""The model a command works with."""

from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from textzoo.cli.terminal import status

if TYPE_CHECKING:
    from textzoo.text_encoder import TextEncoder

DEFAULT_MODEL = "static_english_small"

# Help says "(default: None)" of its own accord; a hint in its place is shorter.
Model = Annotated[str, tyro.conf.arg(aliases=["-m"], metavar="NAME|DIR")]
Column = Annotated[str | None, tyro.conf.arg(aliases=["-c"], metavar="NAME", help_behavior_hint="")]
Prompt = Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="")]
TruncateDim = Annotated[int | None, tyro.conf.arg(metavar="INT", help_behavior_hint="")]
Flag = Annotated[bool, tyro.conf.arg(help_behavior_hint="")]
Dtype = Literal["float32", "bfloat16"]


def load_model(name: str, dtype: str | None = None) -> "TextEncoder":
    """Loads a model by name or directory."""
    with status(f"loading {name}"):
        import textzoo

        return textzoo.load(name, dtype=dtype)
