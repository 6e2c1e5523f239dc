import json

import numpy as np
import pytest

from textzoo.errors import ConfigError
from textzoo.noise import CharacterNoise
from textzoo.recipes import Recipe, prepare


def texts_of(data, count=6):
    """Rows as the first source has them."""
    return [data.sources[0][index]["text"] for index in range(count)]


def test_rows_to_train_on_get_mistakes_and_rows_held_out_do_not(make_recipe, tmp_path):
    noise = {"rate": 0.5, "copies": 3}
    clean, held_out = prepare(make_recipe(data={"held_out": 6})).data(tmp_path)
    noisy, noisy_held_out = prepare(make_recipe(data={"held_out": 6, "noise": noise})).data(
        tmp_path
    )
    size = len(clean.sources[0])
    assert len(noisy.sources[0]) == 3 * size
    # The first copy is clean, the second is not, and labels stay.
    assert texts_of(noisy) == texts_of(clean)
    made = CharacterNoise(rate=0.5, seed=1)(texts_of(clean))
    assert [noisy.sources[0][size + i]["text"] for i in range(6)] == made
    assert noisy.sources[0][size + 1]["label"] == clean.sources[0][1]["label"]
    pairs = zip(held_out["held_out"].batches(), noisy_held_out["held_out"].batches(), strict=True)
    for one, other in pairs:
        np.testing.assert_array_equal(one.batch.texts[0].ids, other.batch.texts[0].ids)


def test_misspellings_come_from_files(make_recipe, tmp_path):
    (tmp_path / "table.tsv").write_text("correct\tmisspelling\ncat\tkat\n")
    noise = {"rate": 1.0, "misspellings": [str(tmp_path / "table.tsv")], "keep_clean": False}
    recipe = make_recipe(data={"noise": noise})
    data, _ = prepare(recipe).data(tmp_path)
    found = texts_of(data, 18)
    assert any("kat" in text for text in found)
    assert not any("cat" in text for text in found)
    assert Recipe.from_dict(json.loads(recipe.to_json())) == recipe


@pytest.mark.parametrize(
    ("noise", "message"),
    [
        ({"rate": 2.0}, "data.noise: rate=2.0; use a share"),
        ({"edits": ["dorp"]}, "did you mean 'drop'"),
        ({"columns": ["txt"]}, "noise.columns has 'txt'; did you mean 'text'"),
        ({"copies": 1}, "use 2 or more"),
        ({"rates": 0.1}, "data.noise has no 'rates'; did you mean 'rate'"),
    ],
)
def test_bad_noise_is_refused(make_recipe, noise, message):
    with pytest.raises(ConfigError, match=message):
        make_recipe(data={"noise": noise})
