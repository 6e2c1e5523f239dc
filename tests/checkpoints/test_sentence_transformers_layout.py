"""The layout of sentence-transformers without the library: round trips, refusals, details."""

import json

import numpy as np
import pytest
from flax import nnx
from tiny_families import VOCAB, make_random, make_tokenizer

from textzoo import ModelConfig, Part, build
from textzoo.checkpoints.bundle import Bundle
from textzoo.checkpoints.sentence_transformers_export import write_sentence_transformers
from textzoo.checkpoints.sentence_transformers_layout import read_sentence_transformers
from textzoo.checkpoints.weights import get_parameters
from textzoo.errors import ConfigError, WeightsError
from textzoo.modules import SubwordTokenizer
from textzoo.settings import EncoderSettings

ENCODER = Part(
    "TransformerEncoder",
    width=8,
    num_layers=1,
    num_heads=2,
    hidden_dim=8,
    max_length=20,
    num_types=2,
)
EMBEDDING = Part("SubwordEmbedding", vocab_size=VOCAB, width=8)
CONFIG = ModelConfig(
    embedding=EMBEDDING,
    encoder=ENCODER,
    pooling=Part("MeanSqrtLengthPooling"),
    heads=(Part("Dense", in_features=8, out_features=4, activation="tanh"), Part("Normalize")),
)
STATIC = ModelConfig(embedding=EMBEDDING, pooling=Part("MeanPooling"), heads=(Part("Normalize"),))


def make_bundle(config, settings=EncoderSettings(), **options):  # noqa: B008
    options = {"max_length": 16} | options
    tokenizer = SubwordTokenizer(make_tokenizer("bert"), **options)
    return Bundle(
        model=make_random(lambda: build(config, rngs=nnx.Rngs(0))),
        tokenizer=tokenizer,
        settings=settings,
        name="tiny",
    )


def make_static(config=STATIC, **options):
    return make_bundle(config, **{"add_special_tokens": False} | options)


@pytest.fixture(scope="module")
def bundle():
    settings = EncoderSettings(
        prompts={"query": "w5 ", "document": ""}, default_prompt="query", similarity="dot"
    )
    return make_bundle(CONFIG, settings)


@pytest.fixture
def directory(bundle, tmp_path):
    write_sentence_transformers(tmp_path / "model", bundle)
    return tmp_path / "model"


def edit(directory, file, **changes):
    path = directory / file
    data = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(data | changes))


def edit_module(directory, index, **changes):
    path = directory / "modules.json"
    modules = json.loads(path.read_text())
    modules[index] |= changes
    path.write_text(json.dumps(modules))


def check_same_parameters(ours, theirs):
    assert set(ours) == set(theirs)
    for path, array in ours.items():
        np.testing.assert_array_equal(array, theirs[path])


def test_what_is_written_reads_back(bundle, directory):
    read = read_sentence_transformers(directory)
    check_same_parameters(get_parameters(bundle.model), get_parameters(read.model))
    assert read.settings == bundle.settings
    assert read.model.config.pooling == CONFIG.pooling
    assert [head.type for head in read.model.config.heads] == ["Dense", "Normalize"]
    texts = ["w5 w6", "unheard", "w7 " * 30]
    np.testing.assert_array_equal(read.tokenizer(texts).ids, bundle.tokenizer(texts).ids)


def test_static_models_read_back(tmp_path):
    bundle = make_static()
    write_sentence_transformers(tmp_path, bundle)
    read = read_sentence_transformers(tmp_path)
    check_same_parameters(get_parameters(bundle.model), get_parameters(read.model))
    assert read.tokenizer.max_length == 16
    assert not read.tokenizer.add_special_tokens


def test_a_static_tokenizer_without_truncation_takes_long_texts(tmp_path):
    write_sentence_transformers(tmp_path, make_static())
    edit(tmp_path, "tokenizer.json", truncation=None)
    tokenizer = read_sentence_transformers(tmp_path).tokenizer
    assert tokenizer(["w5 " * 5000]).lengths.tolist() == [5000]


def test_scale_and_projection_are_worked_into_the_table(tmp_path):
    part = EMBEDDING.replace(scale=2.0, factor_dim=4)
    bundle = make_static(STATIC.replace(embedding=part))
    write_sentence_transformers(tmp_path, bundle)
    arrays = get_parameters(bundle.model)
    wanted = 2 * arrays["embedding.table"] @ arrays["embedding.projection.kernel"]
    table = get_parameters(read_sentence_transformers(tmp_path).model)["embedding.table"]
    np.testing.assert_allclose(table, wanted, rtol=1e-6)


def test_dropped_unknown_tokens_become_rows_of_zeros(tmp_path):
    write_sentence_transformers(tmp_path, make_static(drop_unknown=True))
    table = get_parameters(read_sentence_transformers(tmp_path).model)["embedding.table"]
    assert not table[1].any()
    assert table[2].any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder": Part("IdentityEncoder")}, "pooling: a StaticEmbedding takes the mean"),
        ({"encoder": ENCODER.replace(norm="pre")}, r"encoder: no family.*bert, differs in norm"),
        (
            {"encoder": ENCODER.replace(num_types=0, norm_eps=1e-3)},
            "distilbert, differs in norm_eps;",
        ),
        ({"encoder": ENCODER.replace(activation="identity", gated=True)}, "gated"),
        ({"pooling": Part("LayerMeanPooling", layers=(1, -1))}, "pooling: .* LayerMeanPooling"),
        ({"pooling": None, "heads": ()}, "pooling: "),
        (
            {"heads": (Part("Dense", in_features=8, out_features=4, activation="gelu_tanh"),)},
            r"heads\[0\]: Dense .* 'gelu_tanh'",
        ),
    ],
)
def test_what_cannot_be_expressed_is_refused_by_name(changes, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        write_sentence_transformers(tmp_path / "model", make_bundle(CONFIG.replace(**changes)))
    assert not (tmp_path / "model").exists()


def test_tokenizers_that_cannot_be_expressed_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"tokenizer: .*\(drop_unknown\)"):
        write_sentence_transformers(tmp_path, make_bundle(CONFIG, drop_unknown=True))
    with pytest.raises(ConfigError, match="tokenizer: .* adds no special tokens"):
        write_sentence_transformers(tmp_path, make_static(add_special_tokens=True))
    with pytest.raises(ConfigError, match="tokenizer: .* unless Normalize follows"):
        write_sentence_transformers(
            tmp_path, make_static(STATIC.replace(heads=()), drop_unknown=True)
        )
    without = make_static()
    with pytest.raises(ConfigError, match="tokenizer: .* NoneType"):
        write_sentence_transformers(
            tmp_path, Bundle(model=without.model, tokenizer=None, name="tiny")
        )


def test_special_tokens_stay_away_where_the_model_adds_none(tmp_path):
    write_sentence_transformers(tmp_path, make_bundle(CONFIG, add_special_tokens=False))
    tokenizer = read_sentence_transformers(tmp_path).tokenizer
    assert tokenizer(["w5 w6"]).ids.tolist() == [5, 6]


@pytest.mark.parametrize(
    "name",
    [
        "sentence_transformers.models.Pooling",
        "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
    ],
)
def test_module_types_of_old_and_new_versions_are_known(name, directory):
    edit_module(directory, 1, type=name)
    assert read_sentence_transformers(directory).model.config.pooling == CONFIG.pooling


@pytest.mark.parametrize(
    ("index", "name"),
    [
        (2, "sentence_transformers.models.LSTM"),
        (0, "custom_code.Transformer"),
        (0, "sentence_transformers.models.CLIPModel"),
    ],
)
def test_unknown_modules_are_named(index, name, directory):
    edit_module(directory, index, type=name)
    with pytest.raises(ConfigError, match=f"module type '{name}' is not supported"):
        read_sentence_transformers(directory)


def test_modules_out_of_order_are_refused(directory):
    path = directory / "modules.json"
    modules = json.loads(path.read_text())
    for order in ([1, 0], [0, 2, 1], [0], []):
        path.write_text(json.dumps([modules[index] for index in order]))
        with pytest.raises(ConfigError, match="module"):
            read_sentence_transformers(directory)
    path.write_text("{")
    with pytest.raises(ConfigError, match="not a list of modules"):
        read_sentence_transformers(directory)


def test_a_module_folder_outside_is_refused(directory):
    edit_module(directory, 1, path="../1_Pooling")
    with pytest.raises(ConfigError, match="outside the model directory"):
        read_sentence_transformers(directory)


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        ("1_Pooling/config.json", {"pooling_mode_cls_token": True}, "concatenates the poolings"),
        ("1_Pooling/config.json", {"pooling_mode": ["mean", "max"]}, "concatenates"),
        ("1_Pooling/config.json", {"pooling_mode": "median"}, "'median'.*'mean'"),
        ("1_Pooling/config.json", {"include_prompt": False}, "include_prompt"),
        ("2_Dense/config.json", {"use_residual": True}, "use_residual=True"),
        ("2_Dense/config.json", {"module_input_name": "token_embeddings"}, "module_input_name"),
        ("2_Dense/config.json", {"activation_function": "os.system"}, "os.system"),
        ("2_Dense/config.json", {"in_features": None}, "in_features"),
        ("3_Normalize/config.json", {"module_input_name": "token_embeddings"}, "Normalize has"),
        ("sentence_bert_config.json", {"query_length": 32}, "query_length=32"),
        ("sentence_bert_config.json", {"transformer_task": "fill-mask"}, "transformer_task"),
        ("config_sentence_transformers.json", {"model_type": "SparseEncoder"}, "SparseEncoder"),
        ("config_sentence_transformers.json", {"default_prompt_name": "no"}, "default_prompt"),
    ],
)
def test_options_that_textzoo_lacks_are_refused(file, changes, message, directory):
    edit(directory, file, **changes)
    with pytest.raises(ConfigError, match=message):
        read_sentence_transformers(directory)


def test_a_dense_that_does_not_fit_is_reported(directory):
    edit(directory, "2_Dense/config.json", out_features=5)
    with pytest.raises(WeightsError, match=r"2_Dense does not convert; 2 problems"):
        read_sentence_transformers(directory)


def test_dense_without_an_activation_is_tanh(directory):
    path = directory / "2_Dense" / "config.json"
    data = json.loads(path.read_text())
    del data["activation_function"]
    path.write_text(json.dumps(data))
    assert read_sentence_transformers(directory).model.config.heads[0].options["activation"] == (
        "tanh"
    )


def test_empty_prompts_are_none(directory):
    prompts = {"query": "", "document": ""}
    edit(directory, "config_sentence_transformers.json", prompts=prompts, default_prompt_name=None)
    assert read_sentence_transformers(directory).settings.prompts == {}


@pytest.mark.parametrize(
    ("stated", "tokenizers", "wanted"),
    [(12, 16, 12), (None, 14, 14), (None, 10**30, 20), (512, 512, 20)],
)
def test_the_shortest_limit_counts(stated, tokenizers, wanted, directory):
    edit(directory, "sentence_bert_config.json", max_seq_length=stated)
    edit(directory, "tokenizer_config.json", model_max_length=tokenizers)
    assert read_sentence_transformers(directory).tokenizer.max_length == wanted


def test_lower_casing_comes_before_all_else(directory):
    edit(directory, "sentence_bert_config.json", do_lower_case=True)
    assert read_sentence_transformers(directory).tokenizer(["W5"]).ids.tolist() == [2, 5, 3]


def test_a_dtype_is_what_the_model_computes_in(directory):
    model = read_sentence_transformers(directory, dtype="bfloat16").model
    assert model.config.encoder.options["dtype"] == "bfloat16"
    assert {array.dtype for array in get_parameters(model).values()} == {np.dtype("float32")}
