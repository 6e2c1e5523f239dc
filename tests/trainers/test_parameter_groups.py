import io

import numpy as np
import pytest
from rich.console import Console

from textzoo.errors import ConfigError
from textzoo.trainers.parameter_groups import (
    GroupRule,
    describe_groups,
    group_parameters,
    split_frozen,
)

SHAPES = {
    "head.bias": (5,),
    "head.kernel": (4, 5),
    "log_temperature": (),
    "model.embedding.table": (9, 4),
    "model.encoder.final_norm.scale": (4,),
    "model.encoder.input_norm.scale": (4,),
    "model.encoder.layers.0.attention.qkv.bias": (3, 2, 2),
    "model.encoder.layers.0.attention.qkv.kernel": (4, 3, 2, 2),
    "model.encoder.layers.0.attention_norm.bias": (4,),
    "model.encoder.layers.1.feed_forward.up.kernel": (4, 8),
    "model.encoder.position_table": (16, 4),
    "model.encoder.relative_bias": (8, 2),
}
PARAMS = {path: np.zeros(shape, np.float32) for path, shape in SHAPES.items()}


def scales(**options):
    groups = group_parameters(PARAMS, weight_decay=0.1, **options)
    return {path: treatment.learning_rate_scale for path, treatment in groups.items()}


def test_norms_biases_and_vectors_do_not_decay():
    groups = group_parameters(PARAMS, weight_decay=0.1)
    decaying = [path for path, treatment in groups.items() if treatment.weight_decay]
    assert decaying == [
        "head.kernel",
        "model.embedding.table",
        "model.encoder.layers.0.attention.qkv.kernel",
        "model.encoder.layers.1.feed_forward.up.kernel",
        "model.encoder.position_table",
    ]
    assert {treatment.weight_decay for treatment in groups.values()} == {0.0, 0.1}


def test_lower_layers_learn_slower_by_a_factor_per_layer():
    found = scales(layer_decay=0.5)
    # Two layers: embeddings are three steps below the head.
    assert found["head.kernel"] == found["model.encoder.final_norm.scale"] == 1
    assert found["log_temperature"] == 1
    assert found["model.encoder.layers.1.feed_forward.up.kernel"] == 0.5
    assert found["model.encoder.layers.0.attention_norm.bias"] == 0.25
    for name in ("embedding.table", "encoder.position_table", "encoder.input_norm.scale"):
        assert found[f"model.{name}"] == 0.125
    assert found["model.encoder.relative_bias"] == 0.125


def test_models_of_one_objective_count_their_own_layers():
    params = {f"generator.layers.{i}.kernel": np.zeros((2, 2)) for i in range(4)}
    params |= {f"model.layers.{i}.kernel": np.zeros((2, 2)) for i in range(2)}
    groups = group_parameters(params, weight_decay=0.1, layer_decay=0.5)
    assert groups["generator.layers.3.kernel"].learning_rate_scale == 0.5
    assert groups["model.layers.1.kernel"].learning_rate_scale == 0.5
    assert groups["model.layers.0.kernel"].learning_rate_scale == 0.25


def test_the_first_rule_that_matches_wins():
    rules = [
        GroupRule(pattern=r"qkv\.kernel$", learning_rate_scale=3, weight_decay=0.7),
        GroupRule(pattern=r"layers\.0", learning_rate_scale=2),
    ]
    groups = group_parameters(PARAMS, weight_decay=0.1, rules=rules)
    kernel = groups["model.encoder.layers.0.attention.qkv.kernel"]
    assert (kernel.learning_rate_scale, kernel.weight_decay) == (3, 0.7)
    bias = groups["model.encoder.layers.0.attention.qkv.bias"]
    assert (bias.learning_rate_scale, bias.weight_decay, bias.group) == (2, 0.0, r"layers\.0")
    assert groups["head.kernel"].learning_rate_scale == 1


def test_a_rule_comes_on_top_of_layer_decay():
    rules = [GroupRule(pattern="embedding", learning_rate_scale=10)]
    assert scales(rules=rules, layer_decay=0.5)["model.embedding.table"] == 1.25


def test_frozen_parts_are_told_apart_whatever_the_rules_say():
    rules = [
        GroupRule(pattern="embedding"),
        GroupRule(pattern=r"^head\.", frozen=True),
    ]
    groups = group_parameters(PARAMS, weight_decay=0.1, rules=rules, frozen=[r"^model\."])
    trained, frozen = split_frozen(groups)
    assert trained == ("log_temperature",)
    assert set(frozen) == set(PARAMS) - {"log_temperature"}


def test_a_pattern_that_matches_nothing_is_refused_with_the_closest_path():
    with pytest.raises(ConfigError, match="did you mean 'model.embedding.table'"):
        group_parameters(PARAMS, weight_decay=0.1, frozen=["model.embeding.table"])
    with pytest.raises(ConfigError, match="'decoder' matches no parameter"):
        group_parameters(PARAMS, weight_decay=0.1, rules=[GroupRule(pattern="decoder")])


def test_a_rule_behind_a_wider_one_is_refused():
    rules = [GroupRule(pattern="head"), GroupRule(pattern="head.bias")]
    with pytest.raises(ConfigError, match="'head.bias' never applies.*put it first"):
        group_parameters(PARAMS, weight_decay=0.1, rules=rules)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pattern": "layers.("}, "not a regular expression"),
        ({"pattern": "a", "learning_rate_scale": -1}, "learning_rate_scale=-1"),
        ({"pattern": "a", "weight_decay": -0.1}, "weight_decay=-0.1"),
    ],
)
def test_a_bad_rule_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        GroupRule(**options)


def test_the_table_counts_every_parameter_once():
    rules = [GroupRule(pattern=r"[h]ead\.kernel", learning_rate_scale=10)]
    groups = group_parameters(PARAMS, weight_decay=0.1, rules=rules, frozen=["embedding"])
    out = io.StringIO()
    Console(file=out, width=100).print(describe_groups(groups, PARAMS))
    lines = {
        line.split("│")[1].strip(): line for line in out.getvalue().splitlines() if "│" in line
    }
    cells = [cell.strip() for cell in lines[r"[h]ead\.kernel"].split("│")[2:-1]]
    assert cells == ["1", "20", "x 10", "0.1"]
    cells = [cell.strip() for cell in lines["embedding"].split("│")[2:-1]]
    assert cells == ["1", "36", "frozen", "-"]
    # qkv kernel 48 + up kernel 32 + position table 64.
    assert " 144 " in lines["matrices and tables"]
