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
from textzoo.evaluation.clustering import ClusteringData, ClusteringResult, clustering
from textzoo.evaluation.matching import (
    ChoiceData,
    ChoiceResult,
    MatchingData,
    MatchingResult,
    NameTable,
    choice,
    matching,
)
from textzoo.evaluation.metrics import ndcg, pearson, recall, reciprocal_rank, spearman
from textzoo.evaluation.noise import NoiseCurve, NoisePoint, noise_curve
from textzoo.evaluation.pair_probe import LabeledPairs, PairProbeResult, pair_probe
from textzoo.evaluation.phrases import PhraseSuite, PhraseSuiteResult, phrase_suite
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
    "ChoiceData",
    "ChoiceResult",
    "ClassificationData",
    "ClassificationResult",
    "ClusteringData",
    "ClusteringResult",
    "LabeledPairs",
    "LabeledTexts",
    "MatchingData",
    "MatchingResult",
    "NameTable",
    "NoiseCurve",
    "NoisePoint",
    "PairProbeResult",
    "PhraseSuite",
    "PhraseSuiteResult",
    "PropositionData",
    "PropositionResult",
    "RetrievalData",
    "RetrievalResult",
    "StsPairs",
    "StsResult",
    "Task",
    "choice",
    "classification_probe",
    "clustering",
    "evaluate",
    "fit_probe",
    "matching",
    "ndcg",
    "noise_curve",
    "pair_probe",
    "pair_scores",
    "pearson",
    "phrase_suite",
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
