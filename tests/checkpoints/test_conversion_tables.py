"""Tables read both ways, and what they say about tensors that do not fit."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tiny_families import GOLDEN_CASES, write_golden

from textzoo.checkpoints.conversion import FAMILIES
from textzoo.checkpoints.conversion.family import complete
from textzoo.checkpoints.conversion.table import KERNEL, Rule, convert, convert_back, linear_rules
from textzoo.checkpoints.transformers_layout import read_encoder, read_transformers
from textzoo.checkpoints.weights import get_parameters
from textzoo.errors import ConfigError, WeightsError


@pytest.mark.parametrize("name", GOLDEN_CASES)
def test_a_table_read_backwards_gives_the_source_back(name, tmp_path):
    write_golden(name, tmp_path)
    config, source = read_encoder(tmp_path)
    bundle = read_transformers(tmp_path)
    back = convert_back(get_parameters(bundle.model), source.rules)
    kept = {key for key in source.tensors if not key.startswith("pooler")}
    assert set(back) == kept
    for key in kept:
        np.testing.assert_array_equal(back[key], source.tensors[key])


@pytest.mark.parametrize("name", GOLDEN_CASES)
def test_a_config_written_back_reads_the_same(name, tmp_path):
    write_golden(name, tmp_path)
    family = FAMILIES[json.loads((tmp_path / "config.json").read_text())["model_type"]]
    config, _ = read_encoder(tmp_path)
    options = config.encoder.options
    assert family.misfits(options) == []
    written = family.write(options, vocab_size=90, pad_token_id=0)
    assert complete(family.config(written).encoder.options) == complete(options)


def test_a_model_fits_no_other_kind_of_family(tmp_path):
    fitting = {}
    for name in GOLDEN_CASES:
        (tmp_path / name).mkdir()
        write_golden(name, tmp_path / name)
        options = read_encoder(tmp_path / name)[0].encoder.options
        fitting[name] = [key for key, family in FAMILIES.items() if not family.misfits(options)]
    assert fitting == {
        "bert": ["bert", "electra"],
        "roberta": ["roberta", "xlm-roberta"],
        "xlm_roberta": ["roberta", "xlm-roberta"],
        "distilbert": ["distilbert"],
        "rembert": ["electra", "albert", "rembert"],
        "electra": ["electra", "albert", "rembert"],
        "albert": ["albert"],
        "albert_groups": ["albert"],
        "mpnet": ["mpnet"],
        "modernbert": ["modernbert"],
        "modernbert_biased": ["modernbert"],
    }


def test_heads_of_a_linear_map_split_and_join():
    rules = linear_rules("query", "qkv", piece=1)
    weight, bias = np.arange(12.0).reshape(6, 2), np.arange(6.0)
    arrays = {"qkv.kernel": np.zeros((2, 3, 2, 3)), "qkv.bias": np.zeros((3, 2, 3))}
    # Row 4 of a torch weight is output 4: head 1, feature 1.
    tensors = {f"{name}.{key}": value for name in ("query", "a", "b")
               for key, value in (("weight", weight), ("bias", bias))}  # fmt: skip
    result = convert(
        tensors,
        [*rules, *linear_rules("a", "qkv", piece=0), *linear_rules("b", "qkv", piece=2)],
        {path: array.shape for path, array in arrays.items()},
        source="test",
    )
    np.testing.assert_array_equal(result["qkv.kernel"][:, 1, 1, 1], weight[4])
    assert result["qkv.bias"][1, 1, 1] == bias[4]
    back = convert_back(result, rules)
    np.testing.assert_array_equal(back["query.weight"], weight)
    np.testing.assert_array_equal(back["query.bias"], bias)


def test_every_problem_is_reported_at_once():
    rules = [Rule("w{i}", "layers.{i}.kernel", KERNEL), Rule("x", "absent")]
    tensors = {"w0": np.zeros((3, 2)), "w1": np.zeros((2, 3)), "x": np.zeros(1),
               "stray": np.zeros(1), "head.bias": np.zeros(1)}  # fmt: skip
    shapes = {f"layers.{i}.kernel": (2, 3) for i in range(3)}
    with pytest.raises(WeightsError) as caught:
        convert(tensors, rules, shapes, ignore=[r"head\..*"], source="here")
    message = str(caught.value)
    assert "here does not convert; 4 problems" in message
    assert "w1: has shape (2, 3), layers.1.kernel needs (3, 2)" in message
    assert "x (1,) goes to absent, which the model lacks" in message
    assert "no place for stray (1,)" in message
    assert "nothing fills layers.2.kernel (2, 3)" in message
    assert "head" not in message


def test_a_stacked_parameter_with_a_piece_missing_is_not_filled():
    rules = [*linear_rules("q", "qkv", piece=0), *linear_rules("k", "qkv", piece=1)]
    tensors = {"q.bias": np.zeros(4), "k.bias": np.zeros(4)}
    with pytest.raises(WeightsError, match="nothing fills qkv.bias"):
        convert(tensors, rules, {"qkv.bias": (3, 2, 2)}, source="test")


def test_parameters_without_a_rule_are_listed():
    with pytest.raises(WeightsError, match=r"no place for:\n  a \(1,\)\n  b \(2,\)"):
        convert_back({"a": np.zeros(1), "b": np.zeros(2)}, [])


def test_a_checkpoint_lacking_and_exceeding_is_told_so(tmp_path):
    write_golden("bert", tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    tensors["surplus"] = tensors.pop("encoder.layer.1.output.dense.bias")
    save_file(tensors, path)
    with pytest.raises(WeightsError) as caught:
        read_transformers(tmp_path)
    assert "no place for surplus" in str(caught.value)
    assert "nothing fills encoder.layers.1.feed_forward.down.bias" in str(caught.value)


BERT, MODERNBERT = "bert", "modernbert"


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        (BERT, {"model_type": "gpt2"}, "'gpt2', which textzoo does not read"),
        (BERT, {"model_type": "robert"}, "did you mean 'roberta'"),
        (BERT, {"hidden_act": "mish"}, "activation 'mish'"),
        (BERT, {"hidden_act": "gelu_nwe"}, "did you mean 'gelu_new'"),
        (BERT, {"is_decoder": True}, "is_decoder=True"),
        (BERT, {"add_cross_attention": True}, "add_cross_attention=True"),
        (BERT, {"position_embedding_type": "relative_key"}, "relative_key"),
        (BERT, {"pruned_heads": {"0": [1]}}, "pruned_heads"),
        (BERT, {"quantization_config": {"bits": 8}}, "quantization_config"),
        (BERT, {"hidden_size": None}, "no 'hidden_size'"),
        (BERT, {"hidden_size": "32"}, "hidden_size='32'; expected int"),
        (BERT, {"num_hidden_layers": 0}, "num_hidden_layers=0; expected 1 or more"),
        (BERT, {"num_attention_heads": 5}, "not divisible by num_heads=5"),
        ("roberta", {"pad_token_id": 40}, "pad_token_id=40"),
        ("mpnet", {"relative_attention_num_buckets": 64}, "relative_attention_num_buckets=64"),
        (MODERNBERT, {"mlp_bias": True}, "attention_bias=False and mlp_bias=True"),
        (MODERNBERT, {"layer_types": ["sliding_attention"] * 4}, "layer_types"),
        (MODERNBERT, {"rope_scaling": {"type": "yarn"}}, "rope_scaling"),
        (MODERNBERT, {"rope_parameters": {"rope_theta": 1.0}}, "expected an object with"),
        (
            MODERNBERT,
            {"rope_parameters": {"full_attention": {"rope_type": "yarn", "rope_theta": 1.0}}},
            "'yarn'",
        ),
    ],
)  # fmt: skip
def test_what_the_parts_cannot_do_is_refused(name, changes, message, tmp_path):
    write_golden(name, tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(ConfigError, match=message):
        read_transformers(tmp_path)


def read_modernbert(**entries):
    data = dict(model_type="modernbert", vocab_size=9, hidden_size=8, num_hidden_layers=5,
                num_attention_heads=2, intermediate_size=8, max_position_embeddings=9)  # fmt: skip
    return FAMILIES["modernbert"].read(data | entries)


def test_modernbert_configs_of_transformers_4_and_5_read_alike():
    types = ["full_attention", "sliding_attention", "full_attention", "sliding_attention",
             "full_attention"]  # fmt: skip
    rope = {
        "full_attention": {"rope_type": "default", "rope_theta": 5.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 7.0},
    }
    new = read_modernbert(layer_types=types, rope_parameters=rope, local_attention=4)
    old = read_modernbert(global_attn_every_n_layers=2, global_rope_theta=5, local_rope_theta=7,
                          local_attention=4)  # fmt: skip
    beside = rope | {"rope_type": "default", "rope_theta": None}  # as transformers 5.3 writes it
    also_new = read_modernbert(layer_types=types, rope_parameters=beside, local_attention=4)
    assert new == also_new == old
    assert (new["global_every"], new["local_window"]) == (2, 4)
    assert (new["rotary_theta"], new["local_rotary_theta"]) == (5.0, 7.0)


def test_modernbert_defaults_are_the_published_ones():
    options = read_modernbert()
    assert (options["rotary_theta"], options["local_rotary_theta"]) == (160_000.0, 10_000.0)
    assert (options["global_every"], options["local_window"]) == (3, 128)


def test_a_null_local_theta_is_the_global_one():
    options = read_modernbert(global_rope_theta=5.0, local_rope_theta=None)
    assert options["local_rotary_theta"] == 5.0
