"""The presets against transformers: the same sizes, options and number of parameters."""

import inspect

import pytest

import textzoo
from textzoo.checkpoints.conversion import FAMILIES
from textzoo.parts import known_parts
from textzoo.registry import get_config

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("default")]


def layers(count, width, heads, inner=None):
    return {
        "num_hidden_layers": count, "hidden_size": width, "num_attention_heads": heads,
        "intermediate_size": inner or 4 * width,
    }  # fmt: skip


BASE, LARGE = layers(12, 768, 12), layers(24, 1024, 16)
SIZES = {"tiny": (2, 128, 2), "mini": (4, 256, 4), "small": (4, 512, 8), "medium": (8, 512, 8)}
CASED = {"uncased": 30522, "cased": 28996, "multilingual_cased": 119547}
ROBERTA = {"max_position_embeddings": 514, "type_vocab_size": 1, "layer_norm_eps": 1e-5}
ALBERT = {"embedding_size": 128, "hidden_dropout_prob": 0, "attention_probs_dropout_prob": 0}

# What config.json of the published checkpoints says where the library's defaults differ.
PUBLISHED = (
    {f"bert_{size}_uncased": ("bert", layers(*SIZES[size])) for size in SIZES}
    | {f"bert_base_{case}": ("bert", {"vocab_size": CASED[case]}) for case in CASED}
    | {
        f"bert_large_{case}": ("bert", LARGE | {"vocab_size": CASED[case]})
        for case in ("uncased", "cased")
    }
    | {f"distilbert_base_{case}": ("distilbert", {"vocab_size": CASED[case]}) for case in CASED}
    | {
        f"minilm_l{count}_h384_uncased": ("bert", layers(count, 384, 12, 1536))
        for count in (6, 12)
    }
    | {
        f"roberta_{size}": ("roberta", ROBERTA | shape | {"vocab_size": 50265})
        for size, shape in (("base", BASE), ("large", LARGE))
    }
    | {
        f"xlm_roberta_{size}": ("xlm-roberta", ROBERTA | shape | {"vocab_size": 250002})
        for size, shape in (("base", BASE), ("large", LARGE))
    }
    | {
        f"albert_{size}_v2": ("albert", ALBERT | layers(*shape))
        for size, shape in {
            "base": (12, 768, 12), "large": (24, 1024, 16), "xlarge": (24, 2048, 16),
            "xxlarge": (12, 4096, 64),
        }.items()
    }
    | {
        f"electra_{size}_discriminator": ("electra", shape | {"embedding_size": narrow})
        for size, shape, narrow in (
            ("small", layers(12, 256, 4), 128), ("base", BASE, 768), ("large", LARGE, 1024),
        )
    }
    | {
        "mpnet_base": (
            "mpnet", {"vocab_size": 30527, "max_position_embeddings": 514, "layer_norm_eps": 1e-5}
        ),
        "rembert": ("rembert", {}),
        "modernbert_base": ("modernbert", {}),
        "modernbert_large": ("modernbert", layers(28, 1024, 16, 2624)),
    }
)  # fmt: skip
PUBLISHED["all_minilm_l6_v2"] = PUBLISHED["minilm_l6_h384_uncased"]


def reference(name):
    model_type, options = PUBLISHED[name]
    return transformers.AutoConfig.for_model(model_type, **options)


def options_of(part):
    """The options of a part, those it leaves out with the values they then have."""
    parameters = inspect.signature(known_parts()[part.type].__init__).parameters
    defaults = {name: p.default for name, p in parameters.items() if p.default is not p.empty}
    return defaults | dict(part.options)


# Sizes of our own, and of a paper whose checkpoints transformers does not have.
OTHERS = {
    "low_rank_bert_base", "low_rank_bert_tiny", "mixed_vocabulary_l6_256",
    "mixed_vocabulary_l12_48", "rembert_tiny",
}  # fmt: skip


def test_every_transformer_preset_over_a_plain_table_is_compared():
    """Those over other embeddings, or bytes, are no model of it, and have their own tests."""
    assert PUBLISHED.keys() | OTHERS == {
        name for name in textzoo.list_models()
        if (config := get_config(name)).encoder.type == "TransformerEncoder"
        and config.embedding.type == "SubwordEmbedding"
        and config.tokenizer.type == "SubwordTokenizer"
    }  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_preset_has_the_options_that_its_checkpoint_converts_to(name):
    data = reference(name).to_dict()
    theirs, ours = FAMILIES[data["model_type"]].config(data), get_config(name)
    assert options_of(ours.embedding) == options_of(theirs.embedding)
    assert options_of(ours.encoder) == options_of(theirs.encoder)


@pytest.mark.parametrize("name", PUBLISHED)
def test_preset_has_as_many_parameters_as_the_reference(name):
    with torch.device("meta"):
        model = transformers.AutoModel.from_config(reference(name))
    count = sum(p.numel() for key, p in model.named_parameters() if "pooler" not in key)
    assert textzoo.get_spec(name).parameters == count
