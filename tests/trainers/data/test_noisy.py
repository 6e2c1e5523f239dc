import pytest
from tiny_training import word_tokenizer

from textzoo.errors import ConfigError
from textzoo.noise import CharacterNoise
from textzoo.trainers.data import Field, NoisyTexts, RowsSource, TextData

SCORE = Field(name="score", kind="score")
ROWS = [{"a": f"a text of {i}", "b": f"a text of {i}", "score": i} for i in range(6)]
SOURCE = RowsSource(ROWS, ("a", "b", SCORE))
NOISE = CharacterNoise(rate=0.3)


def test_only_the_named_columns_get_mistakes():
    noisy = NoisyTexts(SOURCE, NOISE, columns=("b",))
    assert len(noisy) == len(SOURCE)
    assert [noisy[i]["b"] for i in range(6)] == NOISE([row["b"] for row in ROWS])
    assert [(noisy[i]["a"], noisy[i]["score"]) for i in range(6)] == [
        (row["a"], row["score"]) for row in ROWS
    ]


def test_copies_and_columns_have_mistakes_of_their_own():
    noisy = NoisyTexts(SOURCE, NOISE, columns=("a", "b"), copies=3, keep_clean=True)
    assert noisy[2] == SOURCE[2]
    seen = {noisy[6 * copy + 2][name] for copy in (1, 2) for name in "ab"}
    assert len(seen) == 4
    assert all(noisy[6 * copy + 2]["score"] == 2 for copy in range(3))


def test_another_noise_is_another_source():
    sources = [
        NoisyTexts(SOURCE, NOISE, columns=("a",)),
        NoisyTexts(SOURCE, NOISE.with_options(seed=1), columns=("a",)),
        NoisyTexts(SOURCE, NOISE, columns=("b",)),
        NoisyTexts(SOURCE, NOISE, columns=("a",), copies=2),
        SOURCE,
    ]
    assert len({source.fingerprint for source in sources}) == 5
    assert sources[0].fingerprint == NoisyTexts(SOURCE, NOISE, columns=("a",)).fingerprint


def test_batches_are_made_of_noisy_texts():
    data = TextData(
        NoisyTexts(SOURCE, CharacterNoise(rate=1.0, edits=("drop",)), columns=("a",)),
        word_tokenizer(), columns=("a", "b"), batch_size=6, lengths=(8,),
    )  # fmt: skip
    stream = data.stream()
    texts = next(stream).batch.texts
    stream.close()
    assert [text.mask.sum() for text in texts] == [0, 24]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": ("c",)}, "columns has 'c'"),
        ({"columns": ("score",)}, "columns has 'score'"),
        ({"columns": ()}, "name some text columns"),
        ({"columns": ("a",), "keep_clean": True}, "use 2 or more"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        NoisyTexts(SOURCE, NOISE, **options)
