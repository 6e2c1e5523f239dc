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
from textzoo.modules.heads import MaskedLanguageHead, ReplacedTokenHead
from textzoo.parts import build
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
    state_width,
)
from textzoo.trainers.objectives.matryoshka import MatryoshkaObjective
from textzoo.trainers.objectives.nli import NLIObjective
from textzoo.trainers.objectives.pair_scores import PairScoreObjective
from textzoo.trainers.objectives.pearl import PearlObjective
from textzoo.trainers.objectives.replaced_token import (
    ReplacedTokenObjective,
    generator_config,
)
from textzoo.trainers.objectives.simcse import SimCSEObjective
from textzoo.trainers.objectives.spelling import Spelling
from textzoo.trainers.objectives.sub_sentence import SubSentenceObjective
from textzoo.trainers.objectives.token_masking import MaskingConfig, Vocabulary
from textzoo.trainers.objectives.triplet import TripletObjective

# Arguments that are made here, not taken from a recipe.
_MADE = (
    "self", "model", "head", "vocabulary", "log_weights", "labels", "num_classes", "rngs",
    "generator", "generator_head", "spelling",
)  # fmt: skip


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
        needs_spans: whether texts must have spans.
    """

    kind: str
    cls: type[Objective]
    labels: str | None = None
    needs_labels: bool = True
    needs_targets: bool = False
    has_keys: bool = False
    needs_spans: bool = False

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
        if self.kind == "mlm":
            found["head"] = Mapping[str, Any]
            if self.cls is ReplacedTokenObjective:
                found["generator_fraction"] = float
            if self.cls is MaskedLanguageObjective:
                found["edit_rate"] = float
        else:
            found["matryoshka"] = Mapping[str, Any]
        return found


TYPES: Mapping[str, ObjectiveType] = {
    "masked_language": ObjectiveType(kind="mlm", cls=MaskedLanguageObjective),
    "replaced_token": ObjectiveType(kind="mlm", cls=ReplacedTokenObjective),
    "contrastive": ObjectiveType(kind="contrastive", cls=ContrastiveObjective, has_keys=True),
    "simcse": ObjectiveType(kind="contrastive", cls=SimCSEObjective, has_keys=True),
    "pair_scores": ObjectiveType(kind="contrastive", cls=PairScoreObjective, labels="score"),
    "nli": ObjectiveType(kind="contrastive", cls=NLIObjective, labels="class"),
    "triplet": ObjectiveType(kind="contrastive", cls=TripletObjective),
    "pearl": ObjectiveType(
        kind="contrastive", cls=PearlObjective, labels="class", needs_labels=False, has_keys=True
    ),
    "sub_sentence": ObjectiveType(
        kind="contrastive", cls=SubSentenceObjective, needs_spans=True
    ),
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
    if entry.kind == "mlm":
        options = _masking_options(options, tokenizer)
    if entry.cls is MaskedLanguageObjective:
        options["spelling"] = _spelling(tokenizer, options.pop("edit_rate", 0.0))
        options["head"] = _head(options, model, seed)
    if entry.cls is ReplacedTokenObjective:
        options |= _generator(options, model, seed)
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
    if TYPES[section.type].kind != "mlm":
        return None
    return read_section(MaskingConfig, section.options.get("masking") or {}, "objective.masking")


def _masking_options(options: dict[str, Any], tokenizer: Any) -> dict[str, Any]:
    masking = options.get("masking")
    if masking is not None:
        masking = read_section(MaskingConfig, masking, "objective.masking")
    return {**options, "masking": masking, "vocabulary": Vocabulary.of(tokenizer)}


def _spelling(tokenizer: Any, edit_rate: float) -> Spelling | None:
    """The units of pieces, where they have some; mistakes in them need some."""
    if getattr(tokenizer, "unit_table", None) is None and not edit_rate:
        return None
    return Spelling.of(tokenizer, edit_rate=edit_rate)


def _head(options: dict[str, Any], model: TextModel, seed: int) -> MaskedLanguageHead:
    """The head that guesses tokens; its own options are taken out of the others."""
    own = dict(options.pop("head", {}))
    names = inspect.signature(MaskedLanguageHead.__init__).parameters
    check_keys(own, set(names) - {*_MADE, "width", "vocab_size"}, "objective.head")
    spelling = options.get("spelling")
    return make_masked_language_head(model, rngs=nnx.Rngs(seed), spelling=spelling, **own)


def _generator(options: dict[str, Any], model: TextModel, seed: int) -> dict[str, Any]:
    """A smaller model that proposes tokens, and the heads of both; its head takes the options."""
    fraction = options.pop("generator_fraction", 0.25)
    config = model.config
    assert config is not None
    generator = build(generator_config(config, fraction), rngs=nnx.Rngs(seed + 1))
    return {
        "generator": generator,
        "generator_head": _head(options, generator, seed + 2),
        "head": ReplacedTokenHead(state_width(model), rngs=nnx.Rngs(seed + 3)),
    }
