"""From the name of an objective and its options to the objective."""

import dataclasses
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flax import nnx

from textzoo.errors import ConfigError, closest
from textzoo.model import TextModel
from textzoo.modules import Tokenizer
from textzoo.modules.heads import MaskedLanguageHead
from textzoo.recipes.reading import check_keys, convert, read_section
from textzoo.recipes.recipe import ObjectiveSection
from textzoo.trainers.objectives.base import Objective
from textzoo.trainers.objectives.classification import (
    ClassificationObjective,
    RegressionObjective,
)
from textzoo.trainers.objectives.contrastive import ContrastiveObjective
from textzoo.trainers.objectives.distillation import (
    LogitDistillationObjective,
    ScoreDistillationObjective,
    VectorDistillationObjective,
)
from textzoo.trainers.objectives.masked_language import (
    MaskedLanguageObjective,
    make_masked_language_head,
)
from textzoo.trainers.objectives.matryoshka import MatryoshkaObjective
from textzoo.trainers.objectives.nli import NLIObjective
from textzoo.trainers.objectives.pair_scores import PairScoreObjective
from textzoo.trainers.objectives.simcse import SimCSEObjective
from textzoo.trainers.objectives.token_masking import MaskingConfig, Vocabulary
from textzoo.trainers.objectives.triplet import TripletObjective

# Arguments that are made here, not taken from a recipe.
_MADE = ("self", "model", "head", "vocabulary", "log_weights", "labels", "num_classes", "rngs")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ObjectiveType:
    """What a recipe may call an objective, and what that needs of the rows.

    Attributes:
        kind: of recipes it belongs to; the first of a kind is the usual one.
        cls: the class.
        labels: ``"class"``, ``"score"``, or ``None`` for rows without labels.
        needs_labels: whether rows must have them.
        needs_targets: whether a teacher must say something.
        has_keys: whether equal texts must be told.
    """

    kind: str
    cls: type[Objective]
    labels: str | None = None
    needs_labels: bool = True
    needs_targets: bool = False
    has_keys: bool = False

    def options(self) -> dict[str, Any]:
        """Annotations of the options that a recipe may give."""
        found: dict[str, Any] = {}
        classes: list[type[Objective]] = [self.cls]
        for cls in classes:
            hints = typing.get_type_hints(cls.__init__)
            for name, parameter in inspect.signature(cls.__init__).parameters.items():
                if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                    classes.append(typing.cast(Any, cls.__base__))
                elif name not in _MADE:
                    found.setdefault(name, hints[name])
        if issubclass(self.cls, MaskedLanguageObjective):
            found["head"] = Mapping[str, Any]
        else:
            found["matryoshka"] = Mapping[str, Any]
        return found


TYPES: Mapping[str, ObjectiveType] = {
    "masked_language": ObjectiveType(kind="mlm", cls=MaskedLanguageObjective),
    "contrastive": ObjectiveType(kind="contrastive", cls=ContrastiveObjective, has_keys=True),
    "simcse": ObjectiveType(kind="contrastive", cls=SimCSEObjective, has_keys=True),
    "pair_scores": ObjectiveType(kind="contrastive", cls=PairScoreObjective, labels="score"),
    "nli": ObjectiveType(kind="contrastive", cls=NLIObjective, labels="class"),
    "triplet": ObjectiveType(kind="contrastive", cls=TripletObjective),
    "classification": ObjectiveType(
        kind="classifier", cls=ClassificationObjective, labels="class"
    ),
    "regression": ObjectiveType(kind="classifier", cls=RegressionObjective, labels="score"),
    "vectors": ObjectiveType(
        kind="distill", cls=VectorDistillationObjective, needs_targets=True
    ),
    "scores": ObjectiveType(kind="distill", cls=ScoreDistillationObjective, needs_targets=True),
    "logits": ObjectiveType(
        kind="distill", cls=LogitDistillationObjective, labels="class", needs_labels=False,
        needs_targets=True,
    ),
}  # fmt: skip
"""What a recipe's ``objective.type`` may be."""


def read_objective(kind: str, data: Any) -> ObjectiveSection:
    """Reads the table ``objective`` of a recipe of a kind."""
    table = dict(convert(data, Mapping[str, Any], "objective"))
    known = [name for name, entry in TYPES.items() if entry.kind == kind]
    name = table.pop("type", known[0])
    if name not in known:
        raise ConfigError(
            f"objective.type is {name!r}, in a recipe of kind {kind!r}; "
            f"{closest(str(name), known)} That kind has: {', '.join(known)}"
        )
    hints = TYPES[name].options()
    check_keys(table, hints, f"objective {name!r}")
    options = {
        option: _option(value, hints[option], f"objective.{option}")
        for option, value in table.items()
    }
    return ObjectiveSection(type=name, options=options)


def _option(value: Any, wanted: Any, where: str) -> Any:
    if wanted == MaskingConfig | None:
        read_section(MaskingConfig, value, where)  # refused now rather than in make_objective
        return value
    return convert(value, wanted, where)


def make_objective(
    section: ObjectiveSection, model: TextModel, tokenizer: Tokenizer, *,
    classes: Sequence[str] = (), teacher_width: int | None = None, seed: int = 0,
) -> Objective:  # fmt: skip
    """Builds the objective.

    Args:
        section: of a recipe.
        model: trained in place.
        tokenizer: of the model.
        classes: names of the classes, where rows have them.
        teacher_width: of the teacher's vectors, where the section does not say.
        seed: of the initial values of heads.
    """
    entry = TYPES[section.type]
    options = dict(section.options)
    matryoshka = options.pop("matryoshka", None)
    taken = inspect.signature(entry.cls.__init__).parameters
    if "rngs" in taken:
        options["rngs"] = nnx.Rngs(seed)
    if teacher_width is not None:
        options.setdefault("teacher_width", teacher_width)
    if "labels" in taken:
        options["labels"] = tuple(classes)
    if "num_classes" in taken:
        options["num_classes"] = len(classes)
    make: Callable[..., Any] = entry.cls
    if issubclass(entry.cls, MaskedLanguageObjective):
        options = _masked_language_options(options, model, tokenizer, seed)
    try:
        objective = make(model, **options)
        if matryoshka is None:
            return objective
        check_keys(matryoshka, ("dims", "weights"), "objective.matryoshka")
        return MatryoshkaObjective(objective, **matryoshka)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"objective {section.type!r}: {error}") from error


def masking_of(section: ObjectiveSection) -> MaskingConfig | None:
    """How tokens are masked, where they are."""
    if not issubclass(TYPES[section.type].cls, MaskedLanguageObjective):
        return None
    return read_section(MaskingConfig, section.options.get("masking") or {}, "objective.masking")


def _masked_language_options(
    options: dict[str, Any], model: TextModel, tokenizer: Any, seed: int
) -> dict[str, Any]:
    head_options = dict(options.pop("head", {}))
    names = inspect.signature(MaskedLanguageHead.__init__).parameters
    check_keys(head_options, set(names) - {*_MADE, "width", "vocab_size"}, "objective.head")
    head = make_masked_language_head(model, rngs=nnx.Rngs(seed), **head_options)
    masking = options.pop("masking", None)
    return {
        **options, "head": head, "vocabulary": Vocabulary.of(tokenizer),
        "masking": None if masking is None
        else read_section(MaskingConfig, masking, "objective.masking"),
    }  # fmt: skip
