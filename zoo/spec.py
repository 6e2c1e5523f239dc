"""What is known about a registered model beside its parts."""

import dataclasses
import datetime
import json
import re
from collections.abc import Mapping
from typing import Any

from textzoo.errors import ConfigError, closest
from textzoo.settings import SIMILARITIES

KINDS = ("subword", "word", "char", "byte", "ngram", "mixed")
"""What a model reads: its smallest units of text."""

STATUSES = ("verified", "trained-here", "architecture-only")
"""``verified``: published weights whose vectors equal the reference's. ``trained-here``: weights
of a recipe in this repository. ``architecture-only``: no weights of its own."""

_REPO_ID = re.compile(r"[\w.-]+/[\w.-]+")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A measured figure and how to measure it again.

    Attributes:
        task: what was evaluated, such as ``"STS-B test"``.
        metric: such as ``"Spearman x 100"``.
        value: the figure.
        command: the command that printed it.
        date: the day it was measured, ``YYYY-MM-DD``.
        note: hardware, versions, or what else the figure depends on.
    """

    task: str
    metric: str
    value: float
    command: str
    date: str
    note: str = ""

    def __post_init__(self) -> None:
        for name in ("task", "metric", "command"):
            _filled(getattr(self, name), name, "Result")
        if isinstance(self.value, bool) or not isinstance(self.value, (int, float)):
            raise ConfigError(f"Result: value={self.value!r} must be a number")
        try:
            datetime.date.fromisoformat(self.date)
        except (TypeError, ValueError):
            raise ConfigError(
                f"Result: date={self.date!r} must be a day written as 2026-01-31"
            ) from None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Where the weights of a registered model are.

    Attributes:
        bundled: name of a folder in ``checkpoints/pretrained``.
        hub: id on the Hugging Face hub; exactly one of the two is given.
        revision: the full commit on the hub.
        sha256: of ``model.safetensors``; :func:`textzoo.load` refuses another file.
    """

    bundled: str | None = None
    hub: str | None = None
    revision: str | None = None
    sha256: str

    def __post_init__(self) -> None:
        if (self.bundled is None) == (self.hub is None):
            raise ConfigError(
                f"Weights: bundled={self.bundled!r}, hub={self.hub!r}; give exactly one of them"
            )
        if self.bundled is not None and not re.fullmatch(r"[a-z0-9_]+", self.bundled):
            raise ConfigError(
                f"Weights: bundled={self.bundled!r} must be the name of a folder in "
                "checkpoints/pretrained: lower case, digits and underscores"
            )
        if self.hub is not None and not _REPO_ID.fullmatch(self.hub):
            raise ConfigError(f"Weights: hub={self.hub!r} must look like 'org/name'")
        if (self.hub is None) != (self.revision is None) or (
            self.revision is not None and not re.fullmatch(r"[0-9a-f]{40}", self.revision)
        ):
            raise ConfigError(
                f"Weights: revision={self.revision!r}; hub weights are pinned to a full commit "
                "of 40 hexadecimal digits, bundled ones have none"
            )
        if not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise ConfigError(
                f"Weights: sha256={self.sha256!r} must be 64 hexadecimal digits, as sha256sum "
                "prints them"
            )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """The entry of a model in the registry.

    Attributes:
        name: filled in by :func:`textzoo.register_model`.
        summary: one line.
        paper: authors, year and where to find it.
        kind: what the model reads, one of :data:`KINDS`.
        parameters: exact count of the model its function describes; for encoders of published
            models, without the pooler and the heads of pretraining.
        width: width of the states, D.
        dimension: width of the vectors, E.
        max_length: longest text, in tokens.
        similarity: how vectors are compared.
        prompts: texts put before the input, by name.
        default_prompt: name of the one used when none is given.
        license: of the weights; of the published ones for ``architecture-only``.
        status: one of :data:`STATUSES`.
        weights: where they are; ``None`` exactly for ``architecture-only``.
        published: hub id of the original checkpoint of an ``architecture-only`` model.
        training_data: what the weights were trained on.
        results: measured figures.
        training: how weights of ours were made: the ``"command"`` and its figures, by name, JSON
            types. It becomes a section of the card.
    """

    name: str = ""
    summary: str
    paper: str
    kind: str
    parameters: int
    width: int
    dimension: int
    max_length: int
    similarity: str = "cosine"
    prompts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    default_prompt: str | None = None
    license: str
    status: str
    weights: Weights | None = None
    published: str | None = None
    training_data: str
    results: tuple[Result, ...] = ()
    training: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        where = f"ModelSpec {self.name!r}" if self.name else "ModelSpec"
        for name in ("summary", "paper", "license", "training_data"):
            _filled(getattr(self, name), name, where)
        if "\n" in self.summary:
            raise ConfigError(f"{where}: summary has more than one line; shorten it")
        for name in ("parameters", "width", "dimension", "max_length"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(f"{where}: {name}={value!r} must be a positive whole number")
        for name, known in (("kind", KINDS), ("similarity", SIMILARITIES), ("status", STATUSES)):
            value = getattr(self, name)
            if value not in known:
                raise ConfigError(
                    f"{where}: {name}={value!r} is unknown; {closest(str(value), known)}"
                )
        if self.default_prompt is not None and self.default_prompt not in self.prompts:
            raise ConfigError(
                f"{where}: default_prompt={self.default_prompt!r} is not among the prompts; "
                f"{closest(self.default_prompt, self.prompts)}"
            )
        if (self.weights is None) != (self.status == "architecture-only"):
            raise ConfigError(
                f"{where}: status={self.status!r} with weights={self.weights!r}; a model has no "
                "weights exactly when it is 'architecture-only'"
            )
        if self.published is not None and not _REPO_ID.fullmatch(self.published):
            raise ConfigError(f"{where}: published={self.published!r} must look like 'org/name'")
        object.__setattr__(self, "results", tuple(self.results))
        for result in self.results:
            if not isinstance(result, Result):
                raise ConfigError(f"{where}: results holds {result!r}; use textzoo.Result(...)")
        try:
            json.dumps(self.training)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{where}: training must be of JSON types: {error}") from None

    def to_dict(self) -> dict[str, Any]:
        """Returns the spec as plain JSON types."""
        return {
            **{field.name: getattr(self, field.name) for field in dataclasses.fields(self)},
            "prompts": dict(self.prompts),
            "weights": None if self.weights is None else dataclasses.asdict(self.weights),
            "results": [dataclasses.asdict(result) for result in self.results],
            "training": dict(self.training),
        }


def _filled(value: object, name: str, where: str) -> None:
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"{where}: {name}={value!r} must be a text that is not empty")
