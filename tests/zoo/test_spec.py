import dataclasses
import json

import pytest

from textzoo.errors import ConfigError
from textzoo.spec import ModelSpec, Result, Weights

FACTS = {
    "summary": "A model", "paper": "Someone 2020", "kind": "subword", "parameters": 10, "width": 4,
    "dimension": 4, "max_length": 8, "license": "MIT", "status": "architecture-only",
    "training_data": "text",
}  # fmt: skip
RESULT = {"task": "STS-B test", "metric": "Spearman", "value": 80.0, "command": "c",
          "date": "2026-01-31"}  # fmt: skip
HASH, COMMIT = "a" * 64, "b" * 40


def test_spec_is_frozen_and_keyword_only():
    spec = ModelSpec(**FACTS)
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.width = 5
    with pytest.raises(TypeError):
        ModelSpec("name")


def test_spec_becomes_json():
    weights = Weights(hub="org/name", revision=COMMIT, sha256=HASH)
    spec = ModelSpec(
        **FACTS | {"status": "verified"}, weights=weights, results=[Result(**RESULT)],
        prompts={"query": "q: "}, training={"steps": 3},
    )  # fmt: skip
    data = json.loads(json.dumps(spec.to_dict()))
    assert data["weights"]["hub"] == "org/name"
    assert data["results"][0]["value"] == 80.0
    assert data["prompts"] == {"query": "q: "}
    assert data["training"] == {"steps": 3}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"summary": " "}, "summary=' ' must be a text"),
        ({"summary": "a\nb"}, "more than one line"),
        ({"paper": ""}, "paper='' must be a text"),
        ({"kind": "subwords"}, "kind='subwords' is unknown; did you mean 'subword'"),
        ({"status": "verifed"}, "did you mean 'verified'"),
        ({"similarity": "cos"}, "similarity='cos' is unknown"),
        ({"parameters": 0}, "parameters=0 must be a positive whole number"),
        ({"width": True}, "width=True must be a positive whole number"),
        ({"dimension": 3.5}, "dimension=3.5 must be a positive"),
        ({"prompts": {"query": "q"}, "default_prompt": "qery"}, "did you mean 'query'"),
        ({"status": "verified"}, "no weights exactly when"),
        ({"weights": Weights(bundled="a", sha256=HASH)}, "no weights exactly when"),
        ({"published": "name"}, "must look like 'org/name'"),
        ({"results": ["82.0"]}, "use textzoo.Result"),
        ({"training": {"data": {1, 2}}}, "training must be of JSON types"),
    ],
)
def test_bad_spec_is_refused_with_the_reason(change, message):
    with pytest.raises(ConfigError, match=message):
        ModelSpec(**FACTS | change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": ""}, "task='' must be a text"),
        ({"value": "82"}, "must be a number"),
        ({"date": "31.1.2026"}, "written as 2026-01-31"),
        ({"command": " "}, "command=' ' must be"),
    ],
)
def test_bad_result_is_refused_with_the_reason(change, message):
    with pytest.raises(ConfigError, match=message):
        Result(**RESULT | change)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({}, "exactly one"),
        ({"bundled": "a", "hub": "a/b"}, "exactly one"),
        ({"bundled": "../a"}, "must be the name of a folder"),
        ({"hub": "name", "revision": COMMIT}, "must look like 'org/name'"),
        ({"hub": "a/b"}, "pinned to a full commit"),
        ({"hub": "a/b", "revision": "main"}, "pinned to a full commit"),
        ({"bundled": "a", "revision": COMMIT}, "bundled ones have none"),
        ({"bundled": "a", "sha256": "123"}, "64 hexadecimal digits"),
    ],
)
def test_bad_weights_are_refused_with_the_reason(facts, message):
    with pytest.raises(ConfigError, match=message):
        Weights(**{"sha256": HASH} | facts)
