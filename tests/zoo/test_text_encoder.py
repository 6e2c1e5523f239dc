import logging
import threading
import warnings

import jax
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_encoder import KINDS, SENTENCES, tiny_encoder, tiny_model, tiny_tokenizer

import textzoo
from textzoo import ModelConfig, Part, TextEncoder, TextModel, build
from textzoo import encoding as encoding_module
from textzoo.checkpoints.bundle import Bundle
from textzoo.compilation import CompiledModel
from textzoo.errors import ConfigError, TextInputError, TruncationWarning
from textzoo.modules import IdentityEncoder, MeanPooling, SubwordEmbedding
from textzoo.settings import EncoderSettings

# Lengths of all kinds, in no order.
TEXTS = [" ".join(SENTENCES[i % 5].split()[: 1 + (7 * i) % 9]) for i in range(40)]
PROMPTS = {"query": "query: ", "document": "passage: "}


def test_encode_gives_float32_vectors_in_the_order_of_the_texts():
    encoder = tiny_encoder()
    vectors = encoder.encode(TEXTS)
    assert vectors.shape == (40, 8) and vectors.dtype == np.float32
    for index in (0, 7, 39):
        np.testing.assert_allclose(vectors[index], encoder.encode(TEXTS[index]), atol=1e-6)


def test_batches_that_are_not_full_give_a_row_per_text():
    encoder = tiny_encoder()
    for count in (2, 3, 5):
        assert encoder.encode(TEXTS[:1] * count).shape == (count, 8)


@pytest.mark.parametrize("layers", [0, 1])
def test_a_vector_does_not_depend_on_batch_or_padding(layers):
    encoder = tiny_encoder(layers=layers)
    alone = np.stack([encoder.encode(text) for text in TEXTS[:4]])
    np.testing.assert_allclose(encoder.encode(TEXTS[:4]), alone, atol=1e-5)
    np.testing.assert_allclose(encoder.encode(TEXTS)[:4], alone, atol=1e-5)


@pytest.mark.parametrize(
    "make",
    [tuple, np.array, iter, lambda texts: (text for text in texts), lambda t: np.array(t, object)],
)
def test_texts_may_come_as_any_sequence_or_iterator(make):
    encoder = tiny_encoder()
    np.testing.assert_allclose(
        encoder.encode(make(TEXTS)), encoder.encode(TEXTS), atol=1e-6, strict=True
    )


def test_one_string_gives_one_vector():
    encoder = tiny_encoder()
    assert encoder.encode("the fox").shape == (8,)
    assert encoder.encode(np.str_("the fox")).shape == (8,)
    assert encoder.encode(["the fox"]).shape == (1, 8)


@pytest.mark.parametrize("empty", [[], (), np.array([], str), iter(())])
def test_no_texts_give_no_rows(empty):
    vectors = tiny_encoder().encode(empty)
    assert vectors.shape == (0, 8) and vectors.dtype == np.float32


@pytest.mark.parametrize("text", ["", "  \n"])
def test_empty_text_is_its_special_tokens_and_zeros_without_any(text):
    encoder = tiny_encoder()
    np.testing.assert_allclose(np.linalg.norm(encoder.encode(text)), 1, atol=1e-6)
    np.testing.assert_allclose(encoder.encode(text), encoder.encode([text, "fox"])[0], atol=1e-6)
    bare = tiny_encoder(tokenizer=tiny_tokenizer(add_special_tokens=False))
    assert not bare.encode(text).any()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (None, "texts is NoneType, expected a string, or a list"),
        (b"bytes", "texts is bytes.*decode"),
        (7, "texts is int"),
        ({"a": 1}, "texts is dict.*a list, which has an order"),
        ({"a"}, "texts is set"),
        (np.array([["a"]]), r"shape \(1, 1\)"),
        (["a", None], r"texts\[1\] is NoneType"),
        (["a", "b", 3.5], r"texts\[2\] is float"),
        (iter(["a", "b", None]), r"texts\[2\] is NoneType"),
        (["x\udc00"], r"texts\[0\] has a lone surrogate"),
    ],
)
def test_what_is_not_text_is_refused_by_name(bad, message):
    with pytest.raises(TextInputError, match=message):
        tiny_encoder().encode(bad)


def test_an_iterator_with_a_bad_item_far_in_names_its_number(monkeypatch):
    monkeypatch.setattr(encoding_module, "WINDOW_TEXTS", 4)
    with pytest.raises(TextInputError, match=r"texts\[10\] is int"):
        tiny_encoder().encode(iter([*TEXTS[:10], 10, *TEXTS]))


@settings(max_examples=25)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_any_unicode_text_has_a_finite_vector(text):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncationWarning)
        for kind in KINDS:
            assert np.isfinite(tiny_encoder(kind).encode(text)).all()


@pytest.mark.parametrize("size", [1, 3, 16])
@pytest.mark.parametrize("make", [list, iter])
def test_windows_do_not_change_the_result(monkeypatch, size, make):
    encoder = tiny_encoder()
    whole = encoder.encode(TEXTS)
    report = encoder.last_report
    monkeypatch.setattr(encoding_module, "WINDOW_TEXTS", size)
    np.testing.assert_allclose(encoder.encode(make(TEXTS)), whole, atol=1e-6)
    assert (encoder.last_report.texts, encoder.last_report.tokens) == (40, report.tokens)


def test_windows_close_on_characters_too(monkeypatch):
    monkeypatch.setattr(encoding_module, "WINDOW_CHARACTERS", 50)
    windows = list(encoding_module.windows_of(iter(["x" * 30] * 5)))
    assert [len(window.texts) for window in windows] == [2, 2, 1]
    assert [window.is_closed for window in windows] == [False, False, True]


def test_sorted_windows_share_their_last_batch_with_the_next(monkeypatch):
    encoder = tiny_encoder(tokens_per_batch=64)
    texts = ["the fox"] * 48
    encoder.encode(texts)
    batches = encoder.last_report.batches
    monkeypatch.setattr(encoding_module, "WINDOW_TEXTS", 7)
    encoder.encode(texts)
    assert encoder.last_report.batches == batches


def test_an_iterator_is_read_in_windows_and_in_the_calling_thread(monkeypatch):
    monkeypatch.setattr(encoding_module, "WINDOW_TEXTS", 4)
    drawn, threads = [], set()

    def texts():
        for text in TEXTS:
            drawn.append(text)
            threads.add(threading.get_ident())
            yield text

    windows = encoding_module.windows_of(texts())
    next(windows)
    assert len(drawn) <= 9  # this window and one more, to know which is the last
    tiny_encoder().encode(texts())
    assert threads == {threading.get_ident()}


def test_the_report_says_what_was_done():
    encoder = tiny_encoder()
    encoder.encode(["the fox", "a cat"])
    report = encoder.last_report
    lengths = tiny_tokenizer()(["the fox", "a cat"]).lengths
    assert (report.texts, report.tokens, report.truncated) == (2, lengths.sum(), 0)
    assert report.padded_tokens >= report.tokens
    assert 0 < report.tokenization_seconds < report.seconds


def test_cut_texts_give_one_warning_at_the_line_that_called():
    encoder = tiny_encoder()
    texts = ["fox " * 100] * 3 + ["fox"] * 2
    with pytest.warns(TruncationWarning, match="3 of 5 texts were cut to 32 tokens") as caught:
        encoder.encode_document(texts)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert encoder.last_report.truncated == 3


def test_a_text_of_100_000_characters_is_cut_and_counted():
    with pytest.warns(TruncationWarning, match="1 of 1 texts"):
        vector = tiny_encoder().encode("the fox " * 12_500)
    assert np.isfinite(vector).all()


def test_calls_with_the_same_shapes_compile_once(caplog):
    texts = ["the quick fox jumps over dogs", "cats"]
    tiny_encoder().encode(texts)
    with caplog.at_level(logging.DEBUG, logger="jax"), jax.log_compiles():
        # A second encoder of an equal architecture and an equal call of the same one.
        other = TextEncoder(
            build(tiny_model().config, rngs=nnx.Rngs(1)), tiny_tokenizer(), tokens_per_batch=128
        )
        different = other.encode(texts)
        same = tiny_encoder().encode(texts)
    compiled = [r for r in caplog.records if "compilation of jit(vectors)" in r.getMessage()]
    assert compiled == []
    assert np.abs(different - same).max() > 1e-3


def test_parameters_are_read_at_every_call():
    model = build(tiny_model().config, rngs=nnx.Rngs(3))
    encoder = TextEncoder(model, tiny_tokenizer())
    before = encoder.encode("the fox")
    model.embedding.table.set_value(-model.embedding.table[...])
    np.testing.assert_allclose(encoder.encode("the fox"), -before, atol=1e-6)


def test_a_model_in_training_mode_is_used_without_dropout():
    config = tiny_model(layers=1).config.with_options(encoder={"dropout": 0.5})
    model = nnx.view(build(config, rngs=nnx.Rngs(0)), deterministic=False)
    encoder = TextEncoder(model, tiny_tokenizer())
    np.testing.assert_array_equal(encoder.encode("the fox"), encoder.encode("the fox"))
    assert not model.encoder.dropout.deterministic


def test_bfloat16_models_give_float32_vectors_near_the_float32_ones():
    config = tiny_model(layers=1).config
    half = config.with_options(embedding={"dtype": "bfloat16"}, encoder={"dtype": "bfloat16"})
    model, half_model = (build(c, rngs=nnx.Rngs(0)) for c in (config, half))
    vectors = TextEncoder(model, tiny_tokenizer()).encode(TEXTS[:8])
    halves = TextEncoder(half_model, tiny_tokenizer()).encode(TEXTS[:8])
    assert halves.dtype == np.float32
    np.testing.assert_allclose(halves, vectors, atol=0.05)


def test_a_model_without_pooling_has_tokens_but_no_vectors():
    config = tiny_model().config.replace(pooling=None, heads=())
    encoder = TextEncoder(build(config, rngs=nnx.Rngs(0)), tiny_tokenizer())
    with pytest.raises(ConfigError, match="no pooling.*encode_tokens"):
        encoder.encode("the fox")
    assert encoder.dimension == 8
    assert encoder.encode_tokens("the fox")[0].vectors.shape[1] == 8


@pytest.mark.parametrize("truncate", ["call", "settings"])
def test_truncated_dimensions_are_normalized_again_where_the_model_normalizes(truncate):
    full = tiny_encoder().encode(TEXTS)
    if truncate == "call":
        short = tiny_encoder().encode(TEXTS, truncate_dim=3)
    else:
        encoder = tiny_encoder(truncate_dim=3)
        assert encoder.dimension == 3
        assert encoder.encode([]).shape == (0, 3)
        short = encoder.encode(TEXTS)
    cut = full[:, :3]
    np.testing.assert_allclose(short, cut / np.linalg.norm(cut, axis=1)[:, None], atol=1e-6)


def test_truncated_dimensions_are_only_cut_where_the_model_does_not_normalize():
    encoder = tiny_encoder(normalize=False)
    np.testing.assert_array_equal(
        encoder.encode(TEXTS, truncate_dim=3), encoder.encode(TEXTS)[:, :3]
    )


@pytest.mark.parametrize("width", [0, -1, 9])
def test_a_width_the_model_does_not_have_is_refused(width):
    with pytest.raises(ConfigError, match=f"truncate_dim={width}.*1 to that many|use 1 or more"):
        tiny_encoder().encode("fox", truncate_dim=width)


def test_prompts_stand_before_the_text():
    encoder = tiny_encoder(prompts=PROMPTS)
    plain = tiny_encoder()
    np.testing.assert_array_equal(encoder.encode_query("fox"), plain.encode("query: fox"))
    np.testing.assert_array_equal(encoder.encode_document(["fox"]), plain.encode(["passage: fox"]))
    np.testing.assert_array_equal(encoder.encode("fox", prompt="query"), plain.encode("query: fox"))
    np.testing.assert_array_equal(encoder.encode("fox", prompt=""), plain.encode("fox"))
    with_default = tiny_encoder(prompts=PROMPTS, default_prompt="document")
    np.testing.assert_array_equal(with_default.encode("fox"), plain.encode("passage: fox"))


def test_a_model_with_prompts_and_no_default_refuses_to_guess():
    with pytest.raises(ConfigError, match="'document', 'query'.*encode_query.*prompt=''"):
        tiny_encoder(prompts=PROMPTS).encode("fox")


def test_an_unknown_prompt_lists_the_closest():
    with pytest.raises(ConfigError, match="'qurey'.*'query'"):
        tiny_encoder(prompts=PROMPTS).encode("fox", prompt="qurey")
    with pytest.raises(ConfigError, match="this model has none"):
        tiny_encoder().encode("fox", prompt="query")


def test_without_prompts_queries_and_documents_are_encoded_alike():
    encoder = tiny_encoder()
    np.testing.assert_array_equal(encoder.encode_query("fox"), encoder.encode("fox"))
    np.testing.assert_array_equal(encoder.encode_document("fox"), encoder.encode("fox"))


def test_the_side_without_a_prompt_has_none():
    plain = tiny_encoder()
    only_query = tiny_encoder(prompts={"query": "query: "})
    np.testing.assert_array_equal(only_query.encode_document("fox"), plain.encode("fox"))
    other = tiny_encoder(prompts={"clustering": "cluster: "})
    with pytest.raises(ConfigError, match="'clustering'"):
        other.encode_query("fox")


def test_empty_prompts_are_no_prompts():
    encoder = tiny_encoder(prompts={"query": "", "document": ""})
    np.testing.assert_array_equal(encoder.encode("fox"), encoder.encode_query("fox"))


def test_a_tokenizer_that_does_not_fit_the_table_is_refused():
    with pytest.raises(ConfigError, match="does not fit the table.*vocab_size=100"):
        TextEncoder(tiny_model(vocab_size=100), tiny_tokenizer("bpe"))


def test_a_tokenizer_longer_than_the_encoder_is_refused():
    with pytest.raises(ConfigError, match="max_length=65 tokens.*at most 64.*max_length=64"):
        TextEncoder(tiny_model(layers=1), tiny_tokenizer(max_length=65))


def test_without_a_tokenizer_the_message_says_how_to_give_one():
    with pytest.raises(ConfigError, match=r"TextEncoder\(model, tokenizer\)"):
        TextEncoder(tiny_model())
    config = tiny_model().config.replace(tokenizer=None)
    with pytest.raises(ConfigError, match="names no tokenizer.*TextEncoder"):
        TextEncoder(build(config, rngs=nnx.Rngs(0)))


@textzoo.register_module
class LetterTokenizer:
    """Letters as ids; needs no file."""

    def __init__(self, *, max_length: int = 16) -> None:
        self.vocab_size, self.max_length = 128, max_length

    def __call__(self, texts, *, return_offsets=False):
        lists = [[ord(c) % 128 for c in text[: self.max_length]] for text in texts]
        from textzoo.modules import Tokenized

        return Tokenized(
            ids=np.array([i for ids in lists for i in ids], np.int32),
            starts=np.concatenate([[0], np.cumsum([len(ids) for ids in lists])]).astype(np.int64),
            truncated=np.array([len(text) > self.max_length for text in texts], bool),
        )

    def save(self, directory):
        pass


def test_a_tokenizer_that_needs_no_file_is_built_from_the_config():
    config = tiny_model().config.replace(tokenizer=Part("LetterTokenizer", max_length=5))
    encoder = TextEncoder(build(config, rngs=nnx.Rngs(0)))
    assert encoder.max_length == 5
    assert encoder.encode(["fox", "dog"]).shape == (2, 8)


def test_models_made_from_modules_encode_but_do_not_save(tmp_path):
    model = TextModel(
        embedding=SubwordEmbedding(400, 8, rngs=nnx.Rngs(0)),
        encoder=IdentityEncoder(),
        pooling=MeanPooling(),
    )
    encoder = TextEncoder(model, tiny_tokenizer())
    assert encoder.encode("fox").shape == (8,)
    with pytest.raises(ConfigError, match="no config, so it cannot be saved.*textzoo.build"):
        encoder.save(tmp_path / "model")


def test_a_saved_encoder_loads_with_the_same_vectors_and_settings(tmp_path):
    encoder = tiny_encoder(
        layers=1, prompts=PROMPTS, default_prompt="query", similarity="dot", truncate_dim=4
    )
    encoder.save(tmp_path / "model")
    loaded = textzoo.load(tmp_path / "model")
    assert loaded.settings == encoder.settings
    assert loaded.max_length == encoder.max_length
    np.testing.assert_allclose(loaded.encode(TEXTS), encoder.encode(TEXTS), atol=1e-6)


def test_a_bundle_becomes_an_encoder_with_its_settings():
    bundle = Bundle(
        model=tiny_model(), tokenizer=tiny_tokenizer(), name="tiny",
        settings=EncoderSettings(similarity="euclidean"),
    )  # fmt: skip
    encoder = TextEncoder.from_bundle(bundle)
    assert encoder.name == "tiny"
    assert encoder.settings.similarity == "euclidean"


def test_the_repr_says_what_one_wants_to_know():
    text = repr(tiny_encoder(prompts=PROMPTS, name="tiny"))
    assert text == (
        "TextEncoder('tiny', dimension=8, max_length=32, similarity='cosine', "
        "prompts=['document', 'query'])"
    )


def test_progress_goes_to_stderr_and_only_when_asked_for(capfd):
    encoder = tiny_encoder()
    encoder.encode(TEXTS)
    assert capfd.readouterr() == ("", "")
    encoder.encode(TEXTS, show_progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "40/40" in err and "texts/s" in err and "tokens/s" in err


def test_push_without_the_hub_library_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"pip install 'textzoo\[hub\]'"):
        tiny_encoder().push("someone/model")


def test_push_uploads_what_save_writes(monkeypatch):
    huggingface_hub = pytest.importorskip("huggingface_hub")
    seen = {}

    class Api:
        def create_repo(self, repo_id, **options):
            seen["repo"] = repo_id, options

        def upload_folder(self, *, repo_id, folder_path):
            import os
            import types

            seen["files"] = set(os.listdir(folder_path))
            return types.SimpleNamespace(commit_url=f"https://hub/{repo_id}")

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    assert tiny_encoder().push("someone/model", private=True) == "https://hub/someone/model"
    assert seen["repo"] == ("someone/model", {"private": True, "exist_ok": True})
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= seen["files"]


def test_threads_may_share_an_encoder():
    encoder = tiny_encoder()
    expected = encoder.encode(TEXTS)
    results = [None] * 4

    def work(slot):
        results[slot] = encoder.encode(TEXTS)

    threads = [threading.Thread(target=work, args=(slot,)) for slot in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        np.testing.assert_allclose(result, expected, atol=1e-6)


def test_settings_refuse_what_they_do_not_know():
    with pytest.raises(ConfigError, match="'cosinus'.*'cosine'"):
        EncoderSettings(similarity="cosinus")
    with pytest.raises(ConfigError, match="default_prompt='qury'.*'query'"):
        EncoderSettings(prompts=PROMPTS, default_prompt="qury")
    with pytest.raises(ConfigError, match="truncate_dim=0"):
        EncoderSettings(truncate_dim=0)
    with pytest.raises(ConfigError, match="settings have no 'promts'.*'prompts'"):
        EncoderSettings.from_dict({"promts": {}})
    with pytest.raises(ConfigError, match="prompts.*query.*str"):
        EncoderSettings(prompts={"query": 3})


def test_settings_survive_a_round_trip():
    settings_ = EncoderSettings(prompts=PROMPTS, default_prompt="query", truncate_dim=2)
    assert EncoderSettings.from_dict(settings_.to_dict()) == settings_


def test_a_model_that_shortens_its_input_has_no_token_vectors():
    class Halve(nnx.Module):
        def __call__(self, hidden, **options):
            return hidden.replace(states=hidden.states[:, ::2], mask=hidden.mask[:, ::2])

    model = TextModel(
        embedding=SubwordEmbedding(400, 8, rngs=nnx.Rngs(0)), encoder=Halve(), pooling=MeanPooling()
    )
    encoder = TextEncoder(model, tiny_tokenizer())
    assert encoder.encode("the fox").shape == (8,)
    with pytest.raises(ConfigError, match="tokens into .* states"):
        encoder.encode_tokens("the fox")


def test_the_width_is_known_without_running_the_model():
    config = ModelConfig(
        embedding=Part("SubwordEmbedding", vocab_size=10, width=4),
        pooling=Part("MeanPooling"),
        heads=(Part("Dense", in_features=4, out_features=3),),
    )
    assert CompiledModel(build(config, rngs=nnx.Rngs(0))).dimension == 3
