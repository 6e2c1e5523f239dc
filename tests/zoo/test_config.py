import json
import pickle

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from textzoo import ModelConfig, Part
from textzoo.errors import ConfigError, closest

names = st.text(min_size=1, max_size=8)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
finite = scalars.filter(lambda value: value not in (float("inf"), float("-inf")))
option_names = names.filter(lambda name: name != "type")


def parts(depth: int = 2):
    values = finite if depth == 0 else finite | parts(depth - 1)
    nested = st.recursive(
        values, lambda x: st.lists(x, max_size=3) | st.dictionaries(option_names, x, max_size=3)
    )
    return st.builds(
        lambda kind, options: Part(kind, **options),
        names,
        st.dictionaries(option_names, nested, max_size=4),
    )


configs = st.builds(
    ModelConfig,
    embedding=parts(),
    encoder=parts(),
    pooling=st.none() | parts(),
    heads=st.lists(parts(depth=1), max_size=3),
    tokenizer=st.none() | parts(),
)


@given(configs)
def test_a_config_survives_json(config):
    again = ModelConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config
    assert hash(again) == hash(config)


@given(parts())
def test_a_part_survives_json_and_pickle(part):
    assert Part.from_dict(json.loads(json.dumps(part.to_dict()))) == part
    assert pickle.loads(pickle.dumps(part)) == part


def test_lists_and_nested_objects_are_frozen_in_the_form_json_gives_back():
    part = Part("X", layers=[1, [2, 3]], inner={"type": "Y", "size": 4}, table={"a": [1]})
    assert part.options == {
        "layers": (1, (2, 3)),
        "inner": Part("Y", size=4),
        "table": {"a": (1,)},
    }


@pytest.mark.parametrize(("one", "other"), [(1, 1.0), (1, True), (0, False)])
def test_values_of_different_json_type_make_different_parts(one, other):
    assert Part("X", value=one) != Part("X", value=other)


def test_parts_are_equal_whatever_the_order_of_their_options():
    assert Part("X", a=1, b=2) == Part("X", b=2, a=1)
    assert len({Part("X", a=1, b=2), Part("X", b=2, a=1)}) == 1


def test_a_part_shows_how_to_write_it():
    assert repr(Part("Dense", in_features=3, activation="tanh")) == (
        "Part('Dense', in_features=3, activation='tanh')"
    )


@pytest.mark.parametrize("value", [np.zeros(2), np.int32(3), object(), {1, 2}, len])
def test_options_that_are_not_json_types_are_refused(value):
    with pytest.raises(ConfigError, match=r"option 'value' of X is a .*JSON types"):
        Part("X", value=value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [float("-inf")]])
def test_numbers_without_a_json_form_are_refused(value):
    with pytest.raises(ConfigError, match="no number"):
        Part("X", value=value)


def test_keys_that_are_not_strings_are_refused():
    with pytest.raises(ConfigError, match="key 3.*write '3'"):
        Part("X", table={3: 1})


@pytest.mark.parametrize("kind", ["", None, 3, dict])
def test_a_part_needs_the_name_of_a_type(kind):
    with pytest.raises(ConfigError, match="such as 'MeanPooling'"):
        Part(kind)


def test_an_option_cannot_be_called_type():
    with pytest.raises(ConfigError, match="'type'"):
        Part("X", type="Y")
    with pytest.raises(ConfigError, match="'type'"):
        Part("X").replace(type="Y")


@pytest.mark.parametrize("data", [None, 3, "MeanPooling", [], {}, {"type": 3}, {"type": ""}])
def test_a_slot_that_does_not_hold_a_part_is_named(data):
    model = {"format_version": 1, "embedding": {"type": "X"}, "heads": [{"type": "Y"}, data]}
    with pytest.raises(ConfigError, match=r"heads\[1\] must be an object with a 'type'"):
        ModelConfig.from_dict(model)


def test_an_unknown_slot_gets_the_closest_name():
    model = {"format_version": 1, "embedding": {"type": "X"}, "poolng": {"type": "Y"}}
    with pytest.raises(ConfigError, match="no slot 'poolng'; did you mean 'pooling'"):
        ModelConfig.from_dict(model)
    with pytest.raises(ConfigError, match="no slot 'poolng'; did you mean 'pooling'"):
        ModelConfig(embedding=Part("X")).replace(poolng=Part("Y"))


@pytest.mark.parametrize("version", [None, 0, 2, "1"])
def test_another_format_version_is_refused_before_anything_else(version):
    with pytest.raises(ConfigError, match=f"format_version {version!r}"):
        ModelConfig.from_dict({"format_version": version, "unknown": 1})


def test_a_config_needs_an_embedding():
    with pytest.raises(ConfigError, match="no embedding"):
        ModelConfig.from_dict({"format_version": 1, "pooling": {"type": "MeanPooling"}})


@pytest.mark.parametrize("data", [None, [], "x", 3])
def test_a_config_is_a_json_object(data):
    with pytest.raises(ConfigError, match="JSON object"):
        ModelConfig.from_dict(data)


@pytest.mark.parametrize("heads", [{"type": "X"}, "X", 3])
def test_heads_are_a_list(heads):
    with pytest.raises(ConfigError, match="heads must be a list"):
        ModelConfig.from_dict({"format_version": 1, "embedding": {"type": "X"}, "heads": heads})
    with pytest.raises(ConfigError, match="heads must be a list"):
        ModelConfig(embedding=Part("X"), heads=Part("Y"))


@pytest.mark.parametrize("slot", ["embedding", "encoder", "pooling", "tokenizer"])
def test_slots_hold_parts_not_classes_or_strings(slot):
    with pytest.raises(ConfigError, match=rf"{slot} must be a textzoo.Part"):
        ModelConfig(**{"embedding": Part("X"), slot: "MeanPooling"})


@pytest.mark.parametrize("slot", ["embedding", "encoder"])
def test_embedding_and_encoder_cannot_be_empty(slot):
    with pytest.raises(ConfigError, match=slot):
        ModelConfig(**{"embedding": Part("X"), slot: None})


def test_with_options_changes_and_adds_options_of_the_named_slots_only():
    config = ModelConfig(embedding=Part("X", width=4, rows=9), pooling=Part("Y"))
    changed = config.with_options(embedding={"width": 8}, pooling={"layers": [0]})
    assert changed.embedding == Part("X", width=8, rows=9)
    assert changed.pooling == Part("Y", layers=(0,))
    assert changed.encoder == config.encoder
    assert config.embedding == Part("X", width=4, rows=9)


def test_with_options_exchanges_and_empties_slots():
    config = ModelConfig(embedding=Part("X"), pooling=Part("Y"), heads=[Part("A")])
    changed = config.with_options(encoder=Part("Z"), pooling=None, heads=[Part("B"), Part("C")])
    assert changed == ModelConfig(
        embedding=Part("X"), encoder=Part("Z"), heads=(Part("B"), Part("C"))
    )


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"encodr": {}}, "did you mean 'encoder'"),
        ({"pooling": {"a": 1}}, "pooling is empty.*pooling=Part"),
        ({"heads": {"a": 1}}, "whole list"),
        ({"embedding": 3}, "embedding must be a textzoo.Part"),
        ({"embedding": None}, "every model needs one"),
    ],
)
def test_with_options_says_what_to_write_instead(overrides, message):
    with pytest.raises(ConfigError, match=message):
        ModelConfig(embedding=Part("X")).with_options(**overrides)


def test_slots_come_in_the_order_text_flows():
    config = ModelConfig(
        embedding=Part("E"), pooling=Part("P"), heads=[Part("A"), Part("B")], tokenizer=Part("T")
    )
    assert [slot for slot, _ in config.slots()] == [
        "tokenizer", "embedding", "encoder", "pooling", "heads[0]", "heads[1]",
    ]  # fmt: skip


def test_closest_names_ignore_case_and_come_before_lists():
    assert closest("meanpoling", ["MaxPooling", "MeanPooling"]).startswith(
        "did you mean 'MeanPooling'"
    )
    assert closest("MEANPOOLING", ["MaxPooling", "MeanPooling"]).startswith("did you mean 'Mean")
    assert closest("zzz", ["b", "a"]) == "known: a, b."
    assert closest("zzz", [f"model_{i}" for i in range(20)]) == (
        "20 are known, none of them similar."
    )
    assert closest("zzz", []) == "there are none."
