"""What an encoder knows beyond its parts: prompts, similarity, output width."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from textzoo.errors import ConfigError, closest

SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncoderSettings:
    """Settings that are saved with a model and used by :class:`textzoo.TextEncoder`.

    Attributes:
        prompts: texts put before the input, by name (``"query"``, ``"document"``, ...).
        default_prompt: name of the prompt ``encode`` uses when none is given; a model with
            prompts and no default refuses to guess.
        similarity: how vectors of this model are compared.
        truncate_dim: keep only the first dimensions of each vector, and normalise again where the
            model normalises.
    """

    prompts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    default_prompt: str | None = None
    similarity: str = "cosine"
    truncate_dim: int | None = None

    def __post_init__(self) -> None:
        for name, text in self.prompts.items():
            if not isinstance(text, str):
                raise ConfigError(
                    f"prompts[{name!r}] is {text!r:.40}, expected str: the text put before the "
                    "input"
                )
        if self.similarity not in SIMILARITIES:
            raise ConfigError(
                f"similarity={self.similarity!r} is unknown; "
                f"{closest(self.similarity, SIMILARITIES)}"
            )
        if self.default_prompt is not None and self.default_prompt not in self.prompts:
            raise ConfigError(
                f"default_prompt={self.default_prompt!r} is not among the prompts; "
                f"{closest(self.default_prompt, self.prompts)}"
            )
        if self.truncate_dim is not None and self.truncate_dim < 1:
            raise ConfigError(f"truncate_dim={self.truncate_dim}; use 1 or more, or None")

    def to_dict(self) -> dict[str, Any]:
        """Returns the settings as plain JSON types."""
        return {**dataclasses.asdict(self), "prompts": dict(self.prompts)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "EncoderSettings":
        """Reads what :meth:`to_dict` wrote; unknown keys are refused."""
        names = [field.name for field in dataclasses.fields(cls)]
        for key in data:
            if key not in names:
                raise ConfigError(f"settings have no {key!r}; {closest(key, names)}")
        return cls(**data)
