"""Scripts of texts."""

import numpy as np
import pytest

from textzoo.modules.tokenizers.scripts import (
    SCRIPTS,
    script_ids,
    script_of,
    script_of_character,
)


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("A sentence.", "Latn"), ("Ein Café, früh", "Latn"), ("Привет", "Cyrl"),
        ("καλημέρα", "Grek"), ("שלום", "Hebr"), ("مرحبا بكم", "Arab"), ("नमस्ते", "Deva"),
        ("สวัสดี", "Thai"),
        ("한국어", "Hang"), ("汉语漢語", "Hani"), ("ひらがな", "Hira"), ("カタカナ", "Kana"),
        ("ᓄᓇᕗᑦ", "Cans"), ("አማርኛ", "Ethi"), ("ᱥᱟᱱᱛᱟᱲᱤ", "Olck"), ("ꆈꌠ", "Yiii"),
        ("ＷＩＤＥ", "Latn"), ("ｶﾀｶﾅ", "Kana"), ("𝐛𝐨𝐥𝐝", "Latn"), ("ﬁ", "Latn"),
        ("", None), ("1984 – ☃ 🙂 ½", None), ("\u0301\u200d", None),
    ],
)  # fmt: skip
def test_the_script_of_a_text(text, script):
    assert script_of(text) == script


def test_most_letters_decide_and_the_earlier_script_of_two():
    assert script_of("Привет, world!!") == "Cyrl"
    assert script_of("abc где") == "Latn" and script_of("где abc") == "Cyrl"
    assert script_of("日本語で書く") == "Hani"
    # Digits, signs and marks that any letter may have are of no script.
    assert {script_of_character(c) for c in "1.\u0301 \n٣"} == {None}
    # Marks that belong to a script are.
    assert script_of_character("\u093f") == "Deva"


def test_texts_have_the_places_of_their_scripts():
    found = script_ids(["x", "ж", "", "字" * 10_000])
    assert found.dtype == np.int32
    assert [SCRIPTS[i] if i >= 0 else None for i in found] == ["Latn", "Cyrl", None, "Hani"]
    # Written down: these numbers stand in saved models.
    assert (SCRIPTS.index("Latn"), SCRIPTS.index("Cyrl"), SCRIPTS.index("Yiii")) == (25, 8, 43)
    assert len(set(SCRIPTS)) == len(SCRIPTS) == 44
    with pytest.raises(ValueError, match="lone surrogate"):
        script_ids(["ok", "\ud800"])
    with pytest.raises(TypeError, match="expected str"):
        script_ids(["ok", None])
