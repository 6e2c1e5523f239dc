"""ModernBERT: pre-norm, rotary, gated, with local and global layers."""

from collections.abc import Mapping, Sequence
from typing import Any

from textzoo.checkpoints.conversion.family import Family, Field, Options, read_value
from textzoo.checkpoints.conversion.table import HEADS_KERNEL, Rule, linear_rules, norm_rules
from textzoo.errors import ConfigError

_THEIRS = "layers.{i}"
_OURS = "encoder.layers.{i}"

_RULES: tuple[Rule, ...] = (
    Rule("embeddings.tok_embeddings.weight", "embedding.table"),
    *norm_rules("embeddings.norm", "encoder.input_norm"),
    *norm_rules(f"{_THEIRS}.attn_norm", f"{_OURS}.attention_norm"),
    *linear_rules(f"{_THEIRS}.attn.Wqkv", f"{_OURS}.attention.qkv"),
    *linear_rules(f"{_THEIRS}.attn.Wo", f"{_OURS}.attention.out", kernel=HEADS_KERNEL),
    *norm_rules(f"{_THEIRS}.mlp_norm", f"{_OURS}.feed_forward_norm"),
    *linear_rules(f"{_THEIRS}.mlp.Wi", f"{_OURS}.feed_forward.up"),
    *linear_rules(f"{_THEIRS}.mlp.Wo", f"{_OURS}.feed_forward.down"),
    *norm_rules("final_norm", "encoder.final_norm"),
)

_GLOBAL, _LOCAL = "full_attention", "sliding_attention"


def _read(data: Mapping[str, Any]) -> Options:
    global_every, any_local = _read_layer_types(data)
    use_bias = read_value(data, "attention_bias", bool, False)
    if read_value(data, "mlp_bias", bool, False) != use_bias:
        raise ConfigError(
            f"config.json has attention_bias={use_bias} and mlp_bias={not use_bias}; textzoo "
            "reads models in which both are the same"
        )
    window = read_value(data, "local_attention", int, 128)
    global_theta = _read_theta(data, _GLOBAL, "global_rope_theta", 160_000.0)
    # Older configs write null for "as in the global layers".
    is_null = "local_rope_theta" in data and data["local_rope_theta"] is None
    local_theta = _read_theta(
        data, _LOCAL, "local_rope_theta", global_theta if is_null else 10_000.0
    )
    return {
        "use_bias": use_bias,
        "rotary_theta": global_theta,
        "local_rotary_theta": local_theta if any_local else None,
        "local_window": window if any_local else None,
        "global_every": global_every,
    }


def _read_layer_types(data: Mapping[str, Any]) -> tuple[int, bool]:
    """How often a layer is global, and whether any is local."""
    num_layers = read_value(data, "num_hidden_layers", int)
    types = data.get("layer_types")
    if types is None:
        every = read_value(data, "global_attn_every_n_layers", int, 3)
        return every, every > 1 and num_layers > 1
    for every in range(1, num_layers + 1):
        if list(types) == _layer_types(num_layers, every):
            return every, every > 1
    raise ConfigError(
        f"config.json has layer_types={types!r}; textzoo reads {num_layers} layers of which "
        f"every n-th, from the first one on, is {_GLOBAL!r} and the others {_LOCAL!r}"
    )


def _layer_types(num_layers: int, every: int) -> Sequence[str]:
    return [_LOCAL if index % every else _GLOBAL for index in range(num_layers)]


def _read_theta(data: Mapping[str, Any], layer_type: str, key: str, default: float) -> float:
    """Base of the rotary positions: nested as transformers 5 writes it, or flat as before."""
    if data.get("rope_scaling") is not None:
        raise ConfigError(f"config.json has rope_scaling={data['rope_scaling']!r}; not supported")
    nested = data.get("rope_parameters")
    if nested is None:
        return read_value(data, key, float, default)
    kinds = dict(nested) if isinstance(nested, Mapping) else {}
    parameters = kinds.get(layer_type, {}) if isinstance(nested, Mapping) else None
    # Some versions of transformers 5 write defaults beside the two kinds of layers.
    beside = {key: value for key, value in kinds.items() if key not in (_GLOBAL, _LOCAL)}
    if not isinstance(parameters, Mapping | None) or any(
        value is not None and (key, value) != ("rope_type", "default")
        for key, value in beside.items()
    ):
        raise ConfigError(
            f"config.json has rope_parameters={nested!r}; expected an object with "
            f"{_GLOBAL!r} and {_LOCAL!r}"
        )
    parameters = dict(parameters or {})
    kind = parameters.pop("rope_type", "default")
    theta = read_value(parameters, "rope_theta", float, read_value(data, key, float, default))
    parameters.pop("rope_theta", None)
    if kind != "default" or parameters:
        raise ConfigError(
            f"config.json has {layer_type} rope_parameters of type {kind!r} with "
            f"{sorted(parameters)}; textzoo reads the type 'default' with rope_theta alone"
        )
    return theta


def _write(options: Options) -> Mapping[str, Any]:
    every = options["global_every"]
    theta = options["rotary_theta"]
    local_theta = options["local_rotary_theta"] or theta
    return {
        "attention_bias": options["use_bias"],
        "mlp_bias": options["use_bias"],
        "mlp_dropout": options["dropout"],
        "local_attention": options["local_window"] or 128,
        "layer_types": _layer_types(options["num_layers"], every),
        "rope_parameters": {
            _GLOBAL: {"rope_type": "default", "rope_theta": theta},
            _LOCAL: {"rope_type": "default", "rope_theta": local_theta},
        },
        # The same for transformers 4.
        "global_attn_every_n_layers": every,
        "global_rope_theta": theta,
        "local_rope_theta": local_theta,
    }


# In training, the reference drops inside the feed-forward block (mlp_dropout) rather than after
# it; published models have no dropout anywhere.
MODERNBERT = Family(
    model_type="modernbert",
    model_class="ModernBertModel",
    fields=(
        Field("hidden_size", "width"),
        Field("num_hidden_layers", "num_layers"),
        Field("num_attention_heads", "num_heads"),
        Field("intermediate_size", "hidden_dim"),
        Field("max_position_embeddings", "max_length"),
        Field("norm_eps", "norm_eps", float, 1e-5),
        Field("norm_bias", "use_norm_bias", bool, False),
        Field("hidden_activation", "activation", str, "gelu"),
        Field("embedding_dropout", "dropout", float, 0.0),
        Field("attention_dropout", "attention_dropout", float, 0.0),
    ),
    constants={
        "positions": "rotary",
        "num_types": 0,
        "norm": "pre",
        "use_input_norm": True,
        "use_final_norm": True,
        "skip_first_attention_norm": True,
        "gated": True,
    },
    rules=lambda options: _RULES,
    prefix="model.",
    ignore=(r"(head|decoder|classifier|qa_outputs)\..*",),
    read_more=_read,
    write_more=_write,
)
