import json

import pytest


def test_list_shows_every_registered_model(textzoo):
    import textzoo as package

    result = textzoo("list")
    assert result.code == 0
    for name in package.list_models():
        assert name in result.out


def test_list_takes_a_pattern(textzoo):
    import textzoo as package

    rows = json.loads(textzoo("list", "bert_*", "--json").out)
    assert [row["name"] for row in rows] == package.list_models("bert_*")
    assert 0 < len(rows) < len(package.list_models())


def test_list_pretrained_shows_only_models_with_weights(textzoo):
    rows = json.loads(textzoo("list", "--pretrained", "--json").out)
    assert all(row["weights"] is not None for row in rows)


def test_list_says_when_nothing_fits(textzoo):
    result = textzoo("list", "nothing_like_this*")
    assert result.code == 0
    assert "no model fits" in result.out


def test_list_refuses_an_unknown_kind(textzoo):
    result = textzoo("list", "--kind", "subwrod")
    assert result.code == 2
    assert "did you mean 'subword'" in result.err


def test_info_shows_what_is_known(textzoo):
    import textzoo as package

    spec = package.get_spec("bert_base_uncased")
    result = textzoo("info", "bert_base_uncased")
    assert result.code == 0
    for value in (spec.summary, f"{spec.parameters:,}", spec.license, spec.status):
        assert value in result.out
    assert json.loads(textzoo("info", "bert_base_uncased", "--json").out) == json.loads(
        json.dumps(spec.to_dict())
    )


def test_info_of_an_unknown_model_suggests_the_nearest(textzoo):
    result = textzoo("info", "bert_base_uncasd")
    assert result.code == 2
    assert "'bert_base_uncased'" in result.err


@pytest.mark.parametrize(
    ("number", "shown"),
    [(999, "999"), (64_000, "64.0k"), (22_713_216, "22.7M"), (355_359_744, "355M")],
)
def test_parameter_counts_are_short(number, shown):
    from textzoo.cli.catalog import count

    assert count(number) == shown
