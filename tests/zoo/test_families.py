import importlib
from pathlib import Path

import pytest

import textzoo
from textzoo import families
from textzoo.registry import get_config

# Counted on models that transformers 5.23 builds from these sizes (meta device, without pooler).
TRANSFORMERS_COUNTS = {
    "albert_base_v2": 11_092_992,
    "albert_large_v2": 16_634_368,
    "albert_xlarge_v2": 54_528_512,
    "albert_xxlarge_v2": 205_814_272,
    "bert_base_cased": 107_719_680,
    "bert_base_multilingual_cased": 177_262_848,
    "bert_base_uncased": 108_891_648,
    "bert_large_cased": 332_529_664,
    "bert_large_uncased": 334_092_288,
    "bert_medium_uncased": 41_110_528,
    "bert_mini_uncased": 11_104_768,
    "bert_small_uncased": 28_500_992,
    "bert_tiny_uncased": 4_369_408,
    "distilbert_base_cased": 65_190_912,
    "distilbert_base_multilingual_cased": 134_734_080,
    "distilbert_base_uncased": 66_362_880,
    "electra_base_discriminator": 108_891_648,
    "electra_large_discriminator": 334_092_288,
    "electra_small_discriminator": 13_483_008,
    "minilm_l6_h384_uncased": 22_565_376,
    "minilm_l12_h384_uncased": 33_212_160,
    "modernbert_base": 149_014_272,
    "modernbert_large": 394_781_696,
    "mpnet_base": 108_895_872,
    "roberta_base": 124_055_040,
    "roberta_large": 354_310_144,
    "xlm_roberta_base": 277_453_056,
    "xlm_roberta_large": 558_840_832,
}


@pytest.mark.parametrize("name", TRANSFORMERS_COUNTS)
def test_declared_count_is_that_of_transformers(name):
    # The battery compares what is declared with what is built.
    assert textzoo.get_spec(name).parameters == TRANSFORMERS_COUNTS[name]


def test_every_family_file_is_listed():
    files = {path.stem for path in Path(families.__file__).parent.glob("*.py")}
    assert files - {"__init__", "shared"} == set(families.FAMILIES)


@pytest.mark.parametrize("family", families.FAMILIES)
def test_family_header_names_paper_reference_and_differences(family):
    header = importlib.import_module(f"textzoo.families.{family}").__doc__
    for word in ("Paper:", "Reference:", "Identical", "ifferent", "Published"):
        assert word in header


def test_all_minilm_is_the_encoder_with_mean_and_normalization():
    base, tuned = get_config("minilm_l6_h384_uncased"), get_config("all_minilm_l6_v2")
    assert tuned.encoder == base.encoder and tuned.embedding == base.embedding
    assert tuned.pooling.type == "MeanPooling"
    assert [head.type for head in tuned.heads] == ["Normalize"]
    assert tuned.tokenizer.options["max_length"] == 256
