"""The losses of tests/loss_cases.py as sentence-transformers computes them."""

import numpy as np
import torch
from loss_cases import CASES, WIDTH
from sentence_transformers.sentence_transformer import losses


class Vectors(torch.nn.Module):
    """Stands for a model: its vectors are given."""

    device = torch.device("cpu")

    def forward(self, features):
        return {"sentence_embedding": features["vectors"]}

    def __getitem__(self, index):
        return self

    def get_embedding_dimension(self):
        return WIDTH

    get_sentence_embedding_dimension = get_embedding_dimension


MODEL = Vectors()
DIRECTIONS = ("query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc")
BOTH = ("query_to_doc", "doc_to_query")


def mnrl(**options):
    return losses.MultipleNegativesRankingLoss(MODEL, **options)


def gist(**options):
    # The constructor wants tokenizers, which vectors that are given do not need.
    loss = losses.GISTEmbedLoss.__new__(losses.GISTEmbedLoss)
    torch.nn.Module.__init__(loss)
    settings = {
        "model": MODEL, "temperature": 0.1, "margin_strategy": "absolute", "margin": 0.0,
        "contrast_anchors": True, "contrast_positives": True, "gather_across_devices": False,
        "must_retokenize": False, "similarity_fct": torch.nn.CosineSimilarity(dim=-1),
        "cross_entropy_loss": torch.nn.CrossEntropyLoss(),
    }  # fmt: skip
    for name, value in (settings | options).items():
        setattr(loss, name, value)
    return loss


class Guide(torch.nn.Module):
    def forward(self, features):
        return {"sentence_embedding": features["guide"]}


def softmax(inputs, kinds):
    loss = losses.SoftmaxLoss(
        MODEL, WIDTH, num_labels=3, concatenation_sent_multiplication=kinds == 4
    )
    kernel = torch.tensor(inputs["kernel"][:kinds]).reshape(kinds * WIDTH, 3)
    loss.classifier.weight.data = kernel.T.contiguous()
    loss.classifier.bias.data = torch.tensor(inputs["bias"])
    return loss


def make(name, inputs):
    """The loss object, and the labels it is given."""
    scores, classes = (torch.tensor(inputs[key]) for key in ("scores", "classes"))
    teacher = torch.tensor(inputs["teacher_scores"])
    vectors = torch.tensor(inputs["teacher_vectors"])
    metric = losses.TripletDistanceMetric
    return {
        "mnrl": lambda: (mnrl(), None),
        "mnrl_symmetric": lambda: (losses.MultipleNegativesSymmetricRankingLoss(MODEL), None),
        "mnrl_symmetric_negatives": lambda: (
            mnrl(directions=BOTH, partition_mode="per_direction"), None
        ),
        "mnrl_joint": lambda: (mnrl(directions=BOTH), None),
        "mnrl_gte": lambda: (mnrl(directions=DIRECTIONS), None),
        "mnrl_gte_negatives": lambda: (mnrl(directions=DIRECTIONS), None),
        "mnrl_hardness_in_batch": lambda: (
            mnrl(hardness_mode="in_batch_negatives", hardness_strength=9.0), None
        ),
        "mnrl_hardness_own": lambda: (
            mnrl(hardness_mode="hard_negatives", hardness_strength=5.0), None
        ),
        "mnrl_hardness_all": lambda: (
            mnrl(hardness_mode="all_negatives", hardness_strength=2.0), None
        ),
        "mnrl_cached": lambda: (
            losses.CachedMultipleNegativesRankingLoss(MODEL, mini_batch_size=4), None
        ),
        "mnrl_cached_symmetric": lambda: (
            losses.CachedMultipleNegativesSymmetricRankingLoss(MODEL, mini_batch_size=4), None
        ),
        "gist": lambda: (gist(guide=Guide()), None),
        "gist_margin": lambda: (gist(guide=Guide(), margin=0.2), None),
        "gist_relative": lambda: (
            gist(
                guide=Guide(), margin=0.3, margin_strategy="relative", contrast_positives=False
            ), None
        ),
        "orthogonality": lambda: (
            losses.GlobalOrthogonalRegularizationLoss(
                MODEL, mean_weight=1.0, second_moment_weight=2.0
            ), None
        ),
        "cosent": lambda: (losses.CoSENTLoss(MODEL), scores),
        "angle": lambda: (losses.AnglELoss(MODEL), scores),
        "cosine_regression": lambda: (losses.CosineSimilarityLoss(MODEL), scores),
        "triplet_cosine": lambda: (losses.TripletLoss(MODEL, metric.COSINE, 0.3), None),
        "triplet_euclidean": lambda: (losses.TripletLoss(MODEL, metric.EUCLIDEAN, 1.0), None),
        "softmax": lambda: (softmax(inputs, 3), classes),
        "softmax_product": lambda: (softmax(inputs, 4), classes),
        "margin_mse": lambda: (losses.MarginMSELoss(MODEL), teacher),
        "distill_kl": lambda: (
            losses.DistillKLDivLoss(
                MODEL, student_temperature=2.0, teacher_temperature=0.5
            ), teacher
        ),
        "embed_cosine": lambda: (losses.EmbedDistillLoss(MODEL, "cosine"), vectors),
        "embed_mse": lambda: (losses.EmbedDistillLoss(MODEL, "mse"), vectors),
        "matryoshka_mnrl": lambda: (
            losses.MatryoshkaLoss(MODEL, mnrl(), [8, 4, 2], [1.0, 0.5, 0.25]), None
        ),
        "matryoshka_cosent": lambda: (
            losses.MatryoshkaLoss(MODEL, losses.CoSENTLoss(MODEL), [8, 3], [1.0, 1.0]), scores
        ),
        "matryoshka_embed_cosine": lambda: (
            losses.MatryoshkaLoss(
                MODEL, losses.EmbedDistillLoss(MODEL, "cosine"), [8, 4], [1.0, 2.0]
            ), vectors
        ),
    }[name]()  # fmt: skip


def compute(name, inputs):
    """Loss and gradient of every column, ``[columns, B, E]``."""
    loss, labels = make(name, inputs)
    columns = [
        torch.tensor(column, requires_grad=True) for column in inputs["columns"][: CASES[name][0]]
    ]
    guide = torch.tensor(inputs["guide"])
    if "cached" in name:
        # The loss of vectors that are there, in its blocks of rows.
        blocks = [list(column.split(4)) for column in columns]
        value = loss.calculate_loss(blocks)
    else:
        value = loss([{"vectors": x, "guide": g} for x, g in zip(columns, guide, strict=False)],
                     labels)  # fmt: skip
    if isinstance(value, dict):
        value = sum(value.values())
    if value.requires_grad:
        value.backward()
    return value.item(), np.stack([column.grad.numpy() for column in columns])
