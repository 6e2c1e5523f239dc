"""What sentence-transformers and textzoo call the same modules; read in both directions."""

from collections.abc import Sequence

from textzoo.checkpoints.conversion.table import Rule, linear_rules

POOLINGS = {
    "cls": "ClsPooling",
    "max": "MaxPooling",
    "mean": "MeanPooling",
    "mean_sqrt_len_tokens": "MeanSqrtLengthPooling",
    "weightedmean": "WeightedMeanPooling",
    "lasttoken": "LastPooling",
}
"""Pooling mode and the part that does it."""

POOLING_SWITCHES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""How the modes were written before version 6, which still reads this."""

DENSE_ACTIVATIONS = {
    "torch.nn.modules.activation.Tanh": "tanh",
    "torch.nn.modules.linear.Identity": "identity",
    "torch.nn.modules.activation.GELU": "gelu",
    "torch.nn.modules.activation.ReLU": "relu",
    "torch.nn.modules.activation.SiLU": "silu",
}
"""Class of the activation of a ``Dense`` and its name here."""

DENSE_DEFAULT_ACTIVATION = "torch.nn.modules.activation.Tanh"

STATIC_RULES: tuple[Rule, ...] = (Rule("embedding.weight", "embedding.table"),)
"""The table of a ``StaticEmbedding``."""


def dense_rules(index: int) -> Sequence[Rule]:
    """The tensors of a ``Dense`` that is head number ``index``."""
    return linear_rules("linear", f"heads.{index}.linear")
