"""How good are the vectors? Similarity, retrieval and classification, over anything that encodes.

Every measurement exists twice: as a function of an encoder (``sts``, ``retrieval``,
``classification_probe``, ``evaluate``), and as a pure function of vectors (``score_sts``,
``rank`` and ``score_ranking``, ``score_probe`` and ``score_folds``).
"""

from textzoo.evaluation.classification import (
    ClassificationResult,
    LabeledTexts,
    classification_probe,
    fit_probe,
    score_folds,
    score_probe,
)
from textzoo.evaluation.metrics import ndcg, pearson, recall, reciprocal_rank, spearman
from textzoo.evaluation.noise import NoiseCurve, NoisePoint, noise_curve
from textzoo.evaluation.propositions import (
    PropositionData,
    PropositionResult,
    proposition_retrieval,
)
from textzoo.evaluation.retrieval import (
    RetrievalData,
    RetrievalResult,
    rank,
    retrieval,
    score_ranking,
)
from textzoo.evaluation.run import evaluate
from textzoo.evaluation.scoring import pair_scores, top_k
from textzoo.evaluation.sts import StsPairs, StsResult, score_sts, sts
from textzoo.evaluation.tasks import TASKS, ClassificationData, Task, read_task

__all__ = [
    "TASKS",
    "ClassificationData",
    "ClassificationResult",
    "LabeledTexts",
    "NoiseCurve",
    "NoisePoint",
    "PropositionData",
    "PropositionResult",
    "RetrievalData",
    "RetrievalResult",
    "StsPairs",
    "StsResult",
    "Task",
    "classification_probe",
    "evaluate",
    "fit_probe",
    "ndcg",
    "noise_curve",
    "pair_scores",
    "pearson",
    "proposition_retrieval",
    "rank",
    "read_task",
    "recall",
    "reciprocal_rank",
    "retrieval",
    "score_folds",
    "score_probe",
    "score_ranking",
    "score_sts",
    "spearman",
    "sts",
    "top_k",
]
