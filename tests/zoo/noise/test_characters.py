import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textzoo.errors import ConfigError, TextInputError
from textzoo.noise import EDITS, CharacterNoise, Noise, share_changed
from textzoo.noise.base import draws

TEXT = "The quick brown fox jumps over 13 lazy dogs"
LETTERS = 35  # of TEXT, white space left out
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def distance(first: str, second: str) -> int:
    """Fewest insertions, deletions, substitutions and swaps of neighbors (restricted)."""
    rows = np.zeros((len(first) + 1, len(second) + 1), int)
    rows[:, 0], rows[0] = np.arange(len(first) + 1), np.arange(len(second) + 1)
    for i, a in enumerate(first, start=1):
        for j, b in enumerate(second, start=1):
            best = min(rows[i - 1, j] + 1, rows[i, j - 1] + 1, rows[i - 1, j - 1] + (a != b))
            if i > 1 and j > 1 and (a, b) == (second[j - 2], first[i - 2]):
                best = min(best, rows[i - 2, j - 2] + 1)
            rows[i, j] = best
    return int(rows[-1, -1])


def single(edit: str, **options) -> CharacterNoise:
    return CharacterNoise(edits=(edit,), **options)


def test_what_becomes_of_a_text_never_changes():
    # Pinned: another machine, process or version of numpy must give the same.
    assert draws("characters", 0, "abc", 2).tolist() == [0.3283850107538492, 0.04533466709772427]
    assert CharacterNoise(rate=0.2, seed=3)([TEXT]) == [
        "Thes qUici rbown fox jumps ovhEr 13 lAzy dogs"
    ]


def test_order_and_company_of_a_text_make_no_difference():
    noise, others = CharacterNoise(rate=0.3), ["one", "another", TEXT, ""]
    assert noise(others)[2] == noise([TEXT])[0]
    assert noise(others[::-1]) == noise(others)[::-1]


def test_seeds_and_kinds_of_noise_make_other_mistakes():
    found = {CharacterNoise(rate=0.3, seed=seed)([TEXT])[0] for seed in range(20)}
    assert len(found) == 20
    assert draws("characters", 0, TEXT, 1) != draws("misspellings", 0, TEXT, 1)


def test_draws_are_uniform():
    numbers = draws("characters", 0, "", 20_000)
    # The standard deviation of a mean of 20,000 is 0.002, of a count in a tenth 42.
    assert numbers.mean() == pytest.approx(0.5, abs=0.008)
    assert np.histogram(numbers, bins=10, range=(0, 1))[0] == pytest.approx([2000] * 10, abs=170)


@given(texts, st.sampled_from([*EDITS, "all"]), st.floats(0, 1), st.integers(0, 9))
def test_the_rate_is_the_share_of_characters_that_are_edited(text, edit, rate, seed):
    edits = EDITS if edit == "all" else (edit,)
    found = CharacterNoise(rate=rate, edits=edits, seed=seed).corrupt(text)
    assert found.size == sum(not character.isspace() for character in text)
    assert found.changed <= np.ceil(round(rate * found.size, 9))
    if edit in ("drop", "add"):  # possible everywhere
        assert found.changed >= np.floor(round(rate * found.size, 9))
    assert distance(text, found.text) <= found.changed
    found.text.encode()


@given(texts, st.floats(0, 1))
def test_white_space_stays(text, rate):
    noisy = CharacterNoise(rate=rate)([text])[0]
    assert [c for c in noisy if c.isspace()] == [c for c in text if c.isspace()]


def test_shares_are_kept_on_average():
    many = [f"{TEXT} {number}" for number in range(500)]
    # 0.05 of 36 or so is 1.8: rounding each text would make it 2.
    assert share_changed(CharacterNoise(rate=0.05), many) == pytest.approx(0.05, abs=0.002)


def test_nothing_happens_at_rate_zero():
    assert CharacterNoise(rate=0.0)([TEXT, ""]) == [TEXT, ""]


def test_drop_takes_characters_away():
    assert len(single("drop", rate=0.2)([TEXT])[0]) == len(TEXT) - LETTERS // 5
    assert single("drop", rate=1.0)(["a bc"]) == [" "]


def test_add_puts_a_letter_after_a_character():
    assert single("add", rate=1.0, alphabet="x")(["Ab 1"]) == ["AXbx 1x"]


def test_swap_exchanges_neighbors_within_words():
    assert single("swap", rate=0.2)(["ab a bb"]) == ["ba a bb"]
    assert single("swap", rate=1.0)(["ab cd"]) == ["ba dc"]


def test_keyboard_takes_a_neighboring_key():
    near = {single("keyboard", rate=1.0, seed=seed)(["G5é"])[0] for seed in range(100)}
    assert near == {f"{letter}{digit}é" for letter in "TYFHVB" for digit in "46"}
    assert {single("keyboard", rate=1.0, seed=s, layout="qwertz")(["z"])[0] for s in range(40)} == {
        *"tugh"
    }


def test_case_turns_letters():
    assert single("case", rate=1.0)(["Ab ß1"]) == ["aB ß1"]


def test_weights_say_how_often():
    noise = CharacterNoise(rate=1.0, edits=["drop", "case"], weights=[1, 9])
    noisy = noise(["a" * 2000])[0]
    assert set(noisy) == {"A"}
    assert len(noisy) == pytest.approx(1800, abs=60)  # deviation: 13


def test_options_can_be_changed():
    noise = CharacterNoise(rate=0.1, edits=("drop",))
    changed = noise.with_options(rate=0.2, seed=5)
    assert changed == dataclasses.replace(noise, rate=0.2, seed=5)
    assert isinstance(noise, Noise)
    assert noise.describe() != changed.describe()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 5}, "rate=5; use a share from 0 to 1"),
        ({"rate": float("nan")}, "rate=nan"),
        ({"rate": "0.1"}, "rate='0.1'"),
        ({"rate": None}, "rate=None"),
        ({"seed": -1}, "seed=-1; use a whole number"),
        ({"edits": ("dorp",)}, "did you mean 'drop'"),
        ({"edits": "drop"}, "give a list"),
        ({"edits": ()}, "give a list"),
        ({"weights": (1.0,)}, "one number above 0 for each edit"),
        ({"weights": (float("inf"),) * 5}, "one number above 0 for each edit"),
        ({"alphabet": ""}, "alphabet is empty"),
        ({"layout": "qwery"}, "did you mean 'qwerty'"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        CharacterNoise(**options)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([b"a"], "got bytes"),
        (["a\ud800"], "lone surrogate"),
        ("text", r"give a list: \[text\]"),
        (b"text", "got bytes .*, expected a list of texts"),
        (None, "got NoneType .*, expected a list of texts"),
    ],
)
def test_what_is_not_text_is_refused(given, message):
    with pytest.raises(TextInputError, match=message):
        CharacterNoise()(given)
