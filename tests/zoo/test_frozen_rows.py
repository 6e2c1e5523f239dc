"""Rows of pictures and of hashed n-grams, and the embedding that keeps them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from tiny_encoder import KINDS, tiny_tokenizer

from textzoo.errors import ConfigError, TextInputError
from textzoo.frozen_rows import _Drawing, glyph_rows, n_gram_rows, token_texts
from textzoo.modules import ByteTokenizer, CodePointTokenizer, FrozenEmbedding, TextBatch

LETTERS = [chr(code) for code in range(33, 127)]


def cosines(rows):
    return rows @ rows.T


def test_what_looks_alike_has_rows_that_are_alike():
    found = cosines(glyph_rows(LETTERS, size=20, dim=64))
    place = LETTERS.index
    np.testing.assert_allclose(np.diag(found), 1, rtol=1e-5)
    for one, other, stranger in (("O", "Q", "x"), ("l", "I", "W"), (".", ",", "M")):
        assert found[place(one), place(other)] > found[place(one), place(stranger)] + 0.1


def test_rows_are_principal_components_of_pixels():
    draw = _Drawing(20, None)
    pixels = np.stack([draw(letter)[draw.order] for letter in LETTERS]).astype(np.float64)
    centered = pixels - pixels.mean(axis=0)
    expected = centered / np.linalg.norm(centered, axis=1, keepdims=True)
    # A turn keeps products.
    full = glyph_rows(LETTERS, size=20, dim=400, tell_apart=0)
    np.testing.assert_allclose(cosines(full), cosines(expected), atol=1e-4)
    assert np.abs(full[:, len(LETTERS) :]).max() < 1e-5
    variances = np.square(centered @ np.linalg.svd(centered, full_matrices=False)[2].T).sum(axis=0)
    turned = full * np.linalg.norm(centered, axis=1, keepdims=True)
    np.testing.assert_allclose(np.square(turned).sum(axis=0)[:20], variances[:20], rtol=1e-3)


def test_pictures_are_in_the_middle_of_their_cells_and_tokens_are_squeezed_into_one():
    draw = _Drawing(32, None)
    for text in ("H", "o", ".", "HH", "HHHH"):
        picture = draw(text).reshape(32, 32)
        y, x = np.nonzero(picture)
        assert abs(x.mean() - 15.5) < 1.5 and abs(y.mean() - 15.5) < 1.5, text
    assert 0.6 < draw("HH").sum() / draw("H").sum() < 1.2
    assert not draw("").any() and not draw(" ").any()
    order = draw.order.reshape(-1)
    assert sorted(order) == list(range(1024))
    distance = np.hypot(order // 32 - 15.5, order % 32 - 15.5)
    assert (np.diff(distance) > -1e-5).all()


def test_tokens_without_a_picture_of_their_own_are_told_apart():
    texts = ["a", " ", "\u2003", "", "", "\U0010ffff", "\U0010fffe", "b"]
    rows = glyph_rows(texts, size=12, dim=8)
    np.testing.assert_array_equal(rows, glyph_rows(texts, size=12, dim=8))
    distance = np.linalg.norm(rows[:, None] - rows[None], axis=-1)
    assert distance[~np.eye(len(texts), dtype=bool)].min() > 0.02
    alike = cosines(rows)
    assert alike[1, 2] > 0.9 and alike[5, 6] > 0.9
    bare = glyph_rows(texts, size=12, dim=8, tell_apart=0)
    np.testing.assert_allclose(bare[1], bare[2], atol=1e-6)


def test_hashes_of_n_grams_follow_the_formulas():
    modulus, width = 10**9 + 7, 7
    h = [int(x) for x in np.random.default_rng(3).integers(1, modulus, width, dtype=np.int64)]
    rows = n_gram_rows(["abc", "b", ""], width, seed=3, normalize=False)
    for row, text in zip(rows, ("abc", "b", ""), strict=True):
        expected = []
        for size, block in ((1, h[:2]), (2, h[2:4]), (3, h[4:])):
            hashes = [
                sum(ord(c) * 31 ** (size - 1 - k) for k, c in enumerate(text[j : j + size]))
                % modulus
                for j in range(len(text) - size + 1)
            ]
            for number in block:
                values = [s * number % modulus for s in hashes]
                values = [v - modulus if v > modulus // 2 else v for v in values]
                mean = sum(values) / len(values) if values else 0.0
                expected.append(mean / (modulus / 2))
        np.testing.assert_allclose(row, expected, rtol=1e-5, atol=1e-6)
    assert rows.sum() == pytest.approx(1.1126, abs=1e-4)  # In any process.
    rows = n_gram_rows(["jumping", "jumpin", "quartz"], 96)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)
    found = cosines(rows)
    assert found[0, 1] > found[0, 2] + 0.2


@pytest.mark.parametrize("kind", KINDS)
def test_texts_of_pieces_are_without_signs_and_special_tokens_have_none(kind):
    tokenizer = tiny_tokenizer(kind)
    texts = token_texts(tokenizer)
    ids = tokenizer(["the dogs"]).ids
    assert "".join(texts[number] for number in ids).strip() == "thedogs"
    assert texts[ids[0]] == texts[ids[-1]] == ""


def test_code_points_of_the_first_plane_have_texts_and_the_others_one_id():
    tokenizer = CodePointTokenizer(vocab_size=1 << 16)
    texts = token_texts(tokenizer)
    assert len(texts) == 1 << 16
    assert (texts[65], texts[0xE000], texts[0xD800], texts[0]) == ("A", "", "", "")
    assert tokenizer(["a\U0001f600"]).ids.tolist() == [0xE000, 97, 0xFFFD, 0xE001]
    assert tokenizer.with_options(max_length=9).vocab_size == 1 << 16
    with pytest.raises(ValueError, match="vocab_size=300; use 65536"):
        CodePointTokenizer(vocab_size=300)


def test_rows_are_kept_and_only_the_map_is_trained():
    embedding = FrozenEmbedding(5, 3, table_dim=4, rngs=nnx.Rngs(0))
    np.testing.assert_allclose(np.linalg.norm(embedding.table[...], axis=1), 1, rtol=1e-5)
    rows = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    embedding.set_rows(rows)
    batch = TextBatch(ids=np.array([[4, 0]], np.int32), mask=np.ones((1, 2), bool))
    kernel, bias = (
        np.asarray(p[...]) for p in (embedding.projection.kernel, embedding.projection.bias)
    )
    np.testing.assert_allclose(
        embedding(batch).states[0], rows[[4, 0]] @ kernel + bias, rtol=0, atol=1e-6
    )
    scores = embedding.attend(jnp.ones((1, 3)))
    np.testing.assert_allclose(scores[0], (rows @ kernel + bias).sum(axis=1), rtol=0, atol=1e-5)
    assert sorted(leaf.shape for leaf in jax.tree.leaves(nnx.state(embedding, nnx.Param))) == [
        (3,), (4, 3)]  # fmt: skip
    plain = FrozenEmbedding(5, 4, rngs=nnx.Rngs(0))
    assert not jax.tree.leaves(nnx.state(plain, nnx.Param))
    with pytest.raises(ValueError, match=r"expected \[V, E\] = \(5, 4\)"):
        plain.set_rows(rows[:, :3])
    with pytest.raises(ValueError, match="not finite"):
        plain.set_rows(rows * np.nan)


def test_what_does_not_fit_is_explained(tmp_path):
    with pytest.raises(ConfigError, match="dim=1025; pictures of 32 x 32"):
        glyph_rows(["a"], dim=1025)
    (tmp_path / "no.ttf").write_text("no font")
    with pytest.raises(ConfigError, match="cannot be read as a font"):
        glyph_rows(["a"], font=tmp_path / "no.ttf")
    with pytest.raises(ConfigError, match="the ids of a ByteTokenizer have no texts"):
        token_texts(ByteTokenizer())
    with pytest.raises(ConfigError, match="largest=9"):
        n_gram_rows(["a"], 8, largest=9)


def pictures(texts):
    return glyph_rows(texts, dim=8)


def hashes(texts):
    return n_gram_rows(texts, 8)


@pytest.mark.parametrize("make", [pictures, hashes])
def test_no_texts_have_no_rows_and_what_is_no_text_is_refused(make):
    assert make([]).shape == (0, 8)
    with pytest.raises(TextInputError, match=r"texts\[1\] is NoneType"):
        make(["a", None])
