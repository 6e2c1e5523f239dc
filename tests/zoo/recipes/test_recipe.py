import json
from pathlib import Path

import pytest

from textzoo.errors import ConfigError
from textzoo.recipes import Recipe
from textzoo.recipes.reading import apply_overrides, flatten, parse_value

READY = sorted((Path(__file__).parents[3] / "scripts" / "recipes").glob("*.toml"))
SMALL = """
kind = "contrastive"
[model]
start = "static_english_small"
[data]
columns = ["a", "b"]
[training]
steps = 10
"""


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


@pytest.mark.parametrize("path", READY, ids=lambda path: path.stem)
def test_ready_recipes_are_read_and_name_no_file(path):
    recipe = Recipe.load(path)
    assert recipe.name == path.stem
    assert recipe.data.sources == ()


def test_a_recipe_comes_back_from_json(small):
    recipe = Recipe.load(small, ["data.sources=a.tsv", "training.optimizer.betas=[0.9, 0.98]"])
    assert Recipe.from_dict(json.loads(recipe.to_json())) == recipe


def test_overrides_reach_every_depth(small):
    recipe = Recipe.load(
        small,
        [
            "data.sources=train.tsv",
            "data.held_out=0.25",
            "training.optimizer.schedule.peak=1",
            "training.mesh.fsdp=2",
            "objective.temperature=0.1",
            'model.heads=[{type = "Normalize"}]',
        ],
    )
    assert [source.path for source in recipe.data.sources] == ["train.tsv"]
    assert recipe.data.held_out == 0.25
    assert recipe.training.config.optimizer.schedule.peak == 1.0
    assert recipe.training.config.mesh.fsdp == 2
    assert recipe.objective.options["temperature"] == 0.1
    assert recipe.model.heads == ({"type": "Normalize"},)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("0.5", 0.5),
        ("true", True),
        ('"3"', "3"),
        ("[1, 2]", [1, 2]),
        ("{a = 1}", {"a": 1}),
        ("a/file.tsv", "a/file.tsv"),
        ("", ""),
        ("1\nother = 2", "1\nother = 2"),
    ],
)
def test_values_of_overrides_are_toml_or_text(text, value):
    assert parse_value(text) == value


def test_overrides_leave_the_data_as_it_is():
    data = {"a": {"b": 1}}
    assert apply_overrides(data, ["a.c.d=2"]) == {"a": {"b": 1, "c": {"d": 2}}}
    assert data == {"a": {"b": 1}}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.colums=[1]", "data has no 'colums'; did you mean 'columns'"),
        ("training.step=1", "training has no 'step'; did you mean 'steps'"),
        ("training.optimizer.nane=1", r"training\.optimizer has no 'nane'; did you mean 'name'"),
        ("objective.temprature=1", "has no 'temprature'; did you mean 'temperature'"),
        ("objective.type=contrast", "did you mean 'contrastive'"),
        ("objective.type=masked_language", "'masked_language', in a recipe of kind 'contrastive'"),
        ("kind=constrastive", "did you mean 'contrastive'"),
        ("modle.start=x", "a recipe has no 'modle'; did you mean 'model'"),
        ("data.batch_size=many", r'data\.batch_size is "many", expected a whole number'),
        ("data.batch_size=1.5", r"data\.batch_size is 1\.5, expected a whole number"),
        ("data.batch_size=true", r"data\.batch_size is true, expected a whole number"),
        ("data.batch_size=0", "batch_size=0; use 1 or more"),
        ("data.columns=a", r'data\.columns is "a", expected a list, each text'),
        ("data.columns=[1]", r"data\.columns\[0\] is 1, expected text"),
        ("data.held_out=1.5", r"held_out=1\.5; use a number of rows, a share below 1, or files"),
        ("data.sources=[{path = 'a', colums = 1}]", r"data\.sources\[0\] has no 'colums'"),
        ("data.teacher=[1]", r"data\.teacher is \[1\], expected text"),
        ("model.architecture=bert_tiny_uncased", "give exactly one"),
        ("model.new_vocabulary=0", "new_vocabulary=0; use a number of pieces"),
        ("model.embedding_from=x", "go with architecture, not with start"),
        ("training.epochs=1", "give steps or epochs, and not both"),
        ("training.evaluate_every=often", 'write a number of steps, or "epoch"'),
        ("training.optimizer.schedule.peak=-1", r"peak=-1\.0; use a number above 0"),
        ("data.prefixes.c=x", "prefixes has 'c'"),
        ("data.spans.c=x", "spans has 'c'"),
        ("data.spans.a=x", r"spans has the columns \['a'\], span_labels has \[\]"),
        (
            "data={columns = ['a'], spans = {a = 'x'}, span_labels = {a = 'y'}, "
            "tokenize_ahead = true}",
            "which keeps no offsets",
        ),
        ("data.packing=pack", "with columns="),
        ("data={columns = ['a'], packing = 'pack'}", "is for recipes of kind 'mlm'"),
        ("data", "override 'data' has no ="),
        ("data.columns.x=1", r"data\.columns is .*, not a table"),
    ],
)
def test_what_does_not_belong_is_refused_by_name(small, override, message):
    with pytest.raises(ConfigError, match=message):
        Recipe.load(small, [override])


def test_the_file_is_named_when_it_is_not_a_recipe(tmp_path):
    with pytest.raises(ConfigError, match="there is no recipe"):
        Recipe.load(tmp_path / "none.toml")
    path = tmp_path / "bad.toml"
    path.write_text("kind = ")
    with pytest.raises(ConfigError, match=r"bad\.toml is not a TOML file"):
        Recipe.load(path)
    path.write_text('kind = "mlm"')
    with pytest.raises(ConfigError, match=r"bad\.toml: a recipe needs model, data, training"):
        Recipe.load(path)


def test_epochs_become_steps(small):
    section = Recipe.load(small, ["training={epochs = 1.5, evaluate_every = 'epoch'}"]).training
    # 7 batches an epoch, the last one not full: 1.5 x 6.4 = 9.6.
    config = section.resolve(6.4)
    assert (config.steps, config.evaluate_every, config.save_every) == (10, 7, 7)


def test_flat_keys_are_dotted():
    assert flatten({"a": {"b": 1, "c": {}}, "d": [1]}) == {"a.b": 1, "a.c": {}, "d": [1]}
