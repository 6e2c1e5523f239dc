import itertools

import numpy as np
import pytest
from fake_encoders import TwoSidedEncoder

from textzoo.errors import ConfigError, DataError
from textzoo.evaluation import LabeledTexts, RetrievalData, StsPairs, noise_curve
from textzoo.evaluation.noise import take_some
from textzoo.evaluation.noise_plot import draw_noise_curves
from textzoo.evaluation.run import evaluate_data
from textzoo.evaluation.tasks import ClassificationData
from textzoo.noise import CharacterNoise

WORDS = ("".join(letters) for letters in itertools.product("abcdef", repeat=4))
TEXTS = [f"{next(WORDS)} {next(WORDS)} {next(WORDS)}" for _ in range(60)]
DROP = {"drop": CharacterNoise(edits=("drop",))}


class LetterCounts:
    """Counts letters, so mistakes change vectors a little; remembers what it was asked."""

    def __init__(self):
        self.calls = []

    def encode(self, texts, **options):
        self.calls.append((list(texts), options))
        return np.array([[text.count(c) + 0.1 for c in "abcdef"] for text in texts], np.float32)


def pairs() -> StsPairs:
    first, second = TEXTS[:53], TEXTS[7:]
    both = zip(first, second, strict=True)
    scores = [sum(a == b for a, b in zip(*pair, strict=True)) for pair in both]
    return StsPairs(first=first, second=second, scores=np.array(scores, float))


def labeled(texts) -> LabeledTexts:
    return LabeledTexts(texts=texts, labels=["many" if t.count("f") else "none" for t in texts])


def classes() -> ClassificationData:
    texts = ["".join(letters) for letters in itertools.product("aef", repeat=4)]
    return ClassificationData(train=labeled(texts[::2]), test=labeled(texts[1::2]))


def search() -> RetrievalData:
    corpus = {str(i): text for i, text in enumerate(TEXTS)}
    queries = {f"q{i}": text[:-2] for i, text in enumerate(TEXTS[:20])}
    return RetrievalData(
        queries=queries, corpus=corpus, qrels={f"q{i}": {str(i): 1} for i in range(20)}
    )


@pytest.mark.parametrize(
    ("data", "measure"),
    [(pairs(), "spearman"), (search(), "ndcg_at_10"), (classes(), "accuracy")],
    ids=("sts", "retrieval", "classification"),
)
def test_a_curve_begins_at_the_score_of_clean_texts_and_falls(data, measure):
    curve = noise_curve(LetterCounts(), data, DROP, rates=(0, 0.6))
    assert curve.measure == measure
    assert curve.clean == pytest.approx(getattr(evaluate_data(LetterCounts(), data), measure))
    assert [(p.noise, p.sides, p.rate) for p in curve.points] == [
        ("none", "none", 0.0), ("drop", "one", 0.6), ("drop", "two", 0.6),
    ]  # fmt: skip
    for point in curve.points[1:]:
        assert point.score < curve.clean
        assert point.kept == pytest.approx(point.score / curve.clean)
        assert point.changed == pytest.approx(0.6, abs=0.02)
    assert curve.at("drop", "two", 0.6) is curve.points[2]
    assert curve.at("drop", "two", 0) is curve.points[0]


def test_one_side_is_what_is_asked():
    data, encoder = pairs(), LetterCounts()
    noise_curve(encoder, data, DROP, rates=(0.3,), prompt="p")
    sets = [set(texts) for texts, _ in encoder.calls]
    asked, stored = set(data.second), set(data.first)
    assert sets[:2] == [stored, asked]
    # Texts asked again, with mistakes, then those stored, with others.
    assert len(sets) == 4
    assert not (sets[2] | sets[3]) & (asked | stored)
    assert sets[2] != sets[3]
    assert all(options == {"prompt": "p"} for _, options in encoder.calls)


def test_equal_texts_get_different_mistakes_on_the_two_sides():
    encoder = LetterCounts()
    same = StsPairs(first=TEXTS, second=TEXTS, scores=np.arange(60.0))
    noise_curve(encoder, same, DROP, rates=(0.3,), sides=("two",))
    second, first = encoder.calls[2][0], encoder.calls[3][0]
    assert sum(a == b for a, b in zip(first, second, strict=True)) < 10


def test_one_side_alone_never_encodes_what_is_stored_again():
    encoder = LetterCounts()
    noise_curve(encoder, search(), DROP, rates=(0.3,), sides=("one",))
    assert [len(texts) for texts, _ in encoder.calls] == [60, 20, 20]


def test_queries_and_documents_are_encoded_as_such():
    data = search()
    case = {"case": CharacterNoise(edits=("case",))}
    texts = [*data.queries.values(), *data.corpus.values()]
    table = {t: [t.lower().count(c) for c in "abcdef"] for t in texts}
    table |= {t.upper(): vector for t, vector in table.items()}
    encoder = TwoSidedEncoder(table)
    noise_curve(encoder, data, case, rates=(1.0,), prompt="p")
    assert [method for method, _, _ in encoder.calls] == ["encode_document", "encode_query"] + [
        "encode_query", "encode_document"
    ]  # fmt: skip
    assert all(options == {} for _, _, options in encoder.calls)


def test_points_are_told_as_they_come_and_results_are_json():
    told = []
    curve = noise_curve(
        LetterCounts(), search(), DROP, rates=(0.2, 0.1), sides=("two",), on_point=told.append
    )
    assert told == list(curve.points)
    assert [point.rate for point in told] == [0, 0.1, 0.2]
    record = curve.to_dict()
    assert record["points"][1]["sides"] == "two"
    assert (record["asked"], record["stored"]) == (20, 60)


def test_some_texts_are_taken():
    assert len(take_some(pairs(), 10)) == 10
    part = take_some(classes(), 10)
    assert (len(part.train), len(part.test)) == (10, 10)
    assert set(part.train.texts) <= set(classes().train.texts)
    found = take_some(search(), 8)
    assert len(found.queries) == 8
    # The documents that answer the queries stay.
    assert sorted(found.corpus) == sorted(d for gains in found.qrels.values() for d in gains)
    assert len(take_some(search(), 30).corpus) == 30
    assert take_some(search(), 8).queries == found.queries != take_some(search(), 8, seed=1).queries


def test_what_cannot_be_measured_is_refused():
    whole = ClassificationData(train=classes().train, test=None)
    with pytest.raises(DataError, match=r"give a folder with train.tsv and test.tsv"):
        noise_curve(LetterCounts(), whole, DROP)
    with pytest.raises(ConfigError, match="sides has 'both'"):
        noise_curve(LetterCounts(), pairs(), DROP, sides=("both",))
    with pytest.raises(ConfigError, match="at least one noise"):
        noise_curve(LetterCounts(), pairs(), {})
    with pytest.raises(ConfigError, match="limit=0"):
        take_some(pairs(), 0)


def test_curves_are_drawn(tmp_path):
    curve = noise_curve(LetterCounts(), search(), DROP, rates=(0.2,))
    draw_noise_curves(
        tmp_path / "b.png", {"sts": {"x": curve, "y": curve}, "more": {"x": curve}}, title="T"
    )
    assert (tmp_path / "b.png").stat().st_size > 10_000
