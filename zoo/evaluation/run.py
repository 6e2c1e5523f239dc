"""From the name of a task and a path to a result."""

from collections.abc import Callable, Mapping
from pathlib import Path

from textzoo.evaluation.classification import ClassificationResult, classification_probe
from textzoo.evaluation.clustering import ClusteringData, ClusteringResult, clustering
from textzoo.evaluation.matching import (
    ChoiceData,
    ChoiceResult,
    MatchingData,
    MatchingResult,
    choice,
    matching,
)
from textzoo.evaluation.pair_probe import LabeledPairs, PairProbeResult, pair_probe
from textzoo.evaluation.phrases import PhraseSuite, PhraseSuiteResult, phrase_suite
from textzoo.evaluation.propositions import (
    PropositionData,
    PropositionResult,
    proposition_retrieval,
)
from textzoo.evaluation.retrieval import RetrievalData, RetrievalResult, retrieval
from textzoo.evaluation.scoring import SupportsEncode
from textzoo.evaluation.sts import StsPairs, StsResult, sts
from textzoo.evaluation.tasks import ClassificationData, TaskData, read_task

Result = (
    StsResult | RetrievalResult | ClassificationResult | PropositionResult | ChoiceResult
    | PairProbeResult | MatchingResult | ClusteringResult | PhraseSuiteResult
)  # fmt: skip


def evaluate(
    encoder: SupportsEncode,
    task: str,
    path: str | Path,
    *,
    split: str = "test",
    prompt: str | None = None,
    truncate_dim: int | None = None,
) -> Result:
    """Measures an encoder on a task.

    Args:
        encoder: anything with ``encode(list[str]) -> [N, E]``.
        task: a key of :data:`textzoo.evaluation.TASKS`.
        path: where its data is, see :func:`textzoo.evaluation.read_task`.
        split: which part to score.
        prompt: given to ``encode``; retrieval uses ``encode_query`` and ``encode_document``.
        truncate_dim: given to ``encode`` when not ``None``.
    """
    return evaluate_data(
        encoder, read_task(task, path, split), prompt=prompt, truncate_dim=truncate_dim
    )


def evaluate_data(
    encoder: SupportsEncode,
    data: TaskData,
    *,
    prompt: str | None = None,
    truncate_dim: int | None = None,
) -> Result:
    """The same for data that is read already; its type tells the measurement."""
    if isinstance(data, RetrievalData):
        return retrieval(encoder, data.queries, data.corpus, data.qrels, truncate_dim=truncate_dim)
    if isinstance(data, ClassificationData):
        return classification_probe(
            encoder, data.train, data.test, prompt=prompt, truncate_dim=truncate_dim
        )
    measure: Callable[..., Result] = _MEASURES[type(data)]
    return measure(encoder, data, prompt=prompt, truncate_dim=truncate_dim)


_MEASURES: Mapping[type, Callable[..., Result]] = {
    StsPairs: sts,
    PropositionData: proposition_retrieval,
    ChoiceData: choice,
    LabeledPairs: pair_probe,
    MatchingData: matching,
    ClusteringData: clustering,
    PhraseSuite: phrase_suite,
}
