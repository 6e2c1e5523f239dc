"""Training: objectives, data, and the one loop that brings them together.

The names below are what a training script needs; they are imported on first use. Losses, schedules
and the parts of the loop are in the modules of this package.
"""

import importlib
from typing import TYPE_CHECKING, Any

_EXPORTS = {
    "ClassificationObjective": "textzoo.trainers.objectives.classification",
    "ContrastiveObjective": "textzoo.trainers.objectives.contrastive",
    "GroupRule": "textzoo.trainers.parameter_groups",
    "HeldOut": "textzoo.trainers.evaluation",
    "LanguageObjective": "textzoo.trainers.objectives.languages",
    "LoadedBatch": "textzoo.trainers.batch",
    "LogitDistillationObjective": "textzoo.trainers.objectives.distillation",
    "LossTerms": "textzoo.trainers.ratio",
    "MaskedLanguageObjective": "textzoo.trainers.objectives.masked_language",
    "MaskingConfig": "textzoo.trainers.objectives.token_masking",
    "MatryoshkaObjective": "textzoo.trainers.objectives.matryoshka",
    "MeshConfig": "textzoo.trainers.mesh",
    "MiningConfig": "textzoo.trainers.mining",
    "MixedVocabularyObjective": "textzoo.trainers.objectives.mixed_vocabulary",
    "Mixture": "textzoo.trainers.data",
    "NLIObjective": "textzoo.trainers.objectives.nli",
    "NextLevelObjective": "textzoo.trainers.objectives.next_level",
    "NoisyLanguageObjective": "textzoo.trainers.objectives.noisy_language",
    "Objective": "textzoo.trainers.objectives.base",
    "ObjectiveState": "textzoo.trainers.objectives.base",
    "OptimizerConfig": "textzoo.trainers.optimizers",
    "PairScoreObjective": "textzoo.trainers.objectives.pair_scores",
    "PearlObjective": "textzoo.trainers.objectives.pearl",
    "Ratio": "textzoo.trainers.ratio",
    "RegressionObjective": "textzoo.trainers.objectives.classification",
    "ReplacedTokenObjective": "textzoo.trainers.objectives.replaced_token",
    "ScheduleConfig": "textzoo.trainers.schedules",
    "ScoreDistillationObjective": "textzoo.trainers.objectives.distillation",
    "SimCSEObjective": "textzoo.trainers.objectives.simcse",
    "Spelling": "textzoo.trainers.objectives.spelling",
    "SubSentenceObjective": "textzoo.trainers.objectives.sub_sentence",
    "Term": "textzoo.trainers.ratio",
    "TextData": "textzoo.trainers.data",
    "TrainBatch": "textzoo.trainers.batch",
    "Trainer": "textzoo.trainers.trainer",
    "TrainingConfig": "textzoo.trainers.training_config",
    "TrainingDiverged": "textzoo.trainers.trainer",
    "TrainingResult": "textzoo.trainers.trainer",
    "TripletObjective": "textzoo.trainers.objectives.triplet",
    "VectorDistillationObjective": "textzoo.trainers.objectives.distillation",
    "VectorObjective": "textzoo.trainers.objectives.vectors",
    "Vocabulary": "textzoo.trainers.objectives.token_masking",
    "WordMimicObjective": "textzoo.trainers.objectives.word_mimic",
    "WordPiecesObjective": "textzoo.trainers.objectives.word_pieces",
    "initialize_distributed": "textzoo.trainers.mesh",
    "make_masked_language_head": "textzoo.trainers.objectives.masked_language",
    "make_mesh": "textzoo.trainers.mesh",
    "mine_negatives": "textzoo.trainers.mining",
}

__all__ = [
    "ClassificationObjective",
    "ContrastiveObjective",
    "GroupRule",
    "HeldOut",
    "LanguageObjective",
    "LoadedBatch",
    "LogitDistillationObjective",
    "LossTerms",
    "MaskedLanguageObjective",
    "MaskingConfig",
    "MatryoshkaObjective",
    "MeshConfig",
    "MiningConfig",
    "MixedVocabularyObjective",
    "Mixture",
    "NLIObjective",
    "NextLevelObjective",
    "NoisyLanguageObjective",
    "Objective",
    "ObjectiveState",
    "OptimizerConfig",
    "PairScoreObjective",
    "PearlObjective",
    "Ratio",
    "RegressionObjective",
    "ReplacedTokenObjective",
    "ScheduleConfig",
    "ScoreDistillationObjective",
    "SimCSEObjective",
    "Spelling",
    "SubSentenceObjective",
    "Term",
    "TextData",
    "TrainBatch",
    "Trainer",
    "TrainingConfig",
    "TrainingDiverged",
    "TrainingResult",
    "TripletObjective",
    "VectorDistillationObjective",
    "VectorObjective",
    "Vocabulary",
    "WordMimicObjective",
    "WordPiecesObjective",
    "initialize_distributed",
    "make_masked_language_head",
    "make_mesh",
    "mine_negatives",
]

if TYPE_CHECKING:
    from textzoo.trainers.batch import LoadedBatch, TrainBatch
    from textzoo.trainers.data import Mixture, TextData
    from textzoo.trainers.evaluation import HeldOut
    from textzoo.trainers.mesh import MeshConfig, initialize_distributed, make_mesh
    from textzoo.trainers.mining import MiningConfig, mine_negatives
    from textzoo.trainers.objectives.base import Objective, ObjectiveState
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
    from textzoo.trainers.objectives.languages import LanguageObjective
    from textzoo.trainers.objectives.masked_language import (
        MaskedLanguageObjective,
        make_masked_language_head,
    )
    from textzoo.trainers.objectives.matryoshka import MatryoshkaObjective
    from textzoo.trainers.objectives.mixed_vocabulary import MixedVocabularyObjective
    from textzoo.trainers.objectives.next_level import NextLevelObjective
    from textzoo.trainers.objectives.nli import NLIObjective
    from textzoo.trainers.objectives.noisy_language import NoisyLanguageObjective
    from textzoo.trainers.objectives.pair_scores import PairScoreObjective
    from textzoo.trainers.objectives.pearl import PearlObjective
    from textzoo.trainers.objectives.replaced_token import ReplacedTokenObjective
    from textzoo.trainers.objectives.simcse import SimCSEObjective
    from textzoo.trainers.objectives.spelling import Spelling
    from textzoo.trainers.objectives.sub_sentence import SubSentenceObjective
    from textzoo.trainers.objectives.token_masking import MaskingConfig, Vocabulary
    from textzoo.trainers.objectives.triplet import TripletObjective
    from textzoo.trainers.objectives.vectors import VectorObjective
    from textzoo.trainers.objectives.word_mimic import WordMimicObjective
    from textzoo.trainers.objectives.word_pieces import WordPiecesObjective
    from textzoo.trainers.optimizers import OptimizerConfig
    from textzoo.trainers.parameter_groups import GroupRule
    from textzoo.trainers.ratio import LossTerms, Ratio, Term
    from textzoo.trainers.schedules import ScheduleConfig
    from textzoo.trainers.trainer import Trainer, TrainingDiverged, TrainingResult
    from textzoo.trainers.training_config import TrainingConfig


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'textzoo.trainers' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_EXPORTS])
