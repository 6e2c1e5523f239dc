import json
import subprocess
import sys
import textwrap

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import textzoo.parts
from textzoo import ModelConfig, Part, build, register_module
from textzoo.errors import ConfigError
from textzoo.modules import Hidden, MeanPooling, Normalize, TextBatch
from textzoo.parts import accepts_option, build_part, build_tokenizer, check_options, known_parts

EMBEDDING = Part("SubwordEmbedding", vocab_size=20, width=8)


@pytest.fixture(autouse=True)
def forget_registered(monkeypatch):
    monkeypatch.setattr(textzoo.parts, "_registered", {})


@pytest.fixture
def batch() -> TextBatch:
    return TextBatch(
        ids=np.array([[3, 1, 4], [1, 5, 0]], np.int32), mask=np.array([[1, 1, 1], [1, 1, 0]], bool)
    )


class Scaled(nnx.Module):
    """A pooling with a parameter that wraps another one."""

    def __init__(self, inner: object, *, factor: float = 2.0, rngs: nnx.Rngs) -> None:
        self.inner = inner
        self.factor = nnx.Param(jnp.asarray(factor))

    def __call__(self, hidden: Hidden, spans=None):
        return self.factor[...] * self.inner(hidden, spans)


def test_a_config_becomes_a_model_of_its_parts(batch):
    config = ModelConfig(
        embedding=EMBEDDING,
        pooling=Part("MeanPooling"),
        heads=(Part("Dense", in_features=8, out_features=5), Part("Normalize")),
    )
    model = build(config, rngs=nnx.Rngs(0))
    assert model.config is config
    assert isinstance(model.pooling, MeanPooling)
    assert isinstance(model.heads[1], Normalize)
    vectors = model(batch).vectors
    assert vectors.shape == (2, 5)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=-1), 1, rtol=1e-6)


def test_equal_seeds_give_equal_models_and_others_do_not():
    tables = [
        build(ModelConfig(embedding=EMBEDDING), rngs=nnx.Rngs(seed)).embedding.table[...]
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(tables[0], tables[1])
    assert not np.array_equal(tables[0], tables[2])


def test_every_slot_says_what_is_wrong_with_it():
    for slot in ("embedding", "encoder", "pooling"):
        config = ModelConfig(embedding=EMBEDDING).replace(**{slot: Part("MeanPoling")})
        with pytest.raises(ConfigError, match=f"{slot}: no part is named 'MeanPoling'; did you"):
            build(config, rngs=nnx.Rngs(0))
    config = ModelConfig(embedding=EMBEDDING, heads=[Part("Normalize"), Part("Normalise")])
    with pytest.raises(ConfigError, match=r"heads\[1\]: .*did you mean 'Normalize'"):
        build(config, rngs=nnx.Rngs(0))


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (EMBEDDING.replace(vocabsize=3), "no option 'vocabsize'; did you mean 'vocab_size'"),
        (Part("SubwordEmbedding", vocab_size=3), r"needs width; write Part\('Subw.*, width="),
        (Part("SubwordEmbedding"), "needs vocab_size, width"),
        (Part("MeanPooling", layers=(1,)), "MeanPooling has no option 'layers'"),
        (EMBEDDING.replace(rngs=3), "no option 'rngs'"),
        (EMBEDDING.replace(self=3), "no option 'self'"),
        (EMBEDDING.replace(dtype="int32"), "refused its options: 'int32' is not a type of float"),
        (EMBEDDING.replace(dtype="flot32"), "refused its options: 'flot32'"),
        (EMBEDDING.replace(width=0), "refused its options: width=0"),
        (EMBEDDING.replace(width="8"), "refused its options"),
    ],
)
def test_bad_options_are_refused_with_what_to_write(part, message):
    with pytest.raises(ConfigError, match=f"embedding: .*{message}"):
        build(ModelConfig(embedding=part), rngs=nnx.Rngs(0))


def test_options_are_checked_before_anything_is_built():
    built = []

    @register_module
    class Witness:
        def __init__(self) -> None:
            built.append(1)

    with pytest.raises(ConfigError, match="no option 'other'"):
        build_part(
            Part("LayerMeanPooling", other=Part("Witness")), where="pooling", rngs=nnx.Rngs(0)
        )
    assert not built


def test_parts_inside_parts_are_built_first(batch):
    register_module(Scaled)
    plain = ModelConfig(embedding=EMBEDDING, pooling=Part("MeanPooling"))
    scaled = plain.replace(pooling=Part("Scaled", inner=Part("MeanPooling"), factor=3.0))
    np.testing.assert_allclose(
        build(scaled, rngs=nnx.Rngs(0))(batch).vectors,
        3 * build(plain, rngs=nnx.Rngs(0))(batch).vectors,
        rtol=1e-6,
    )


def test_parts_in_lists_and_objects_are_built():
    @register_module
    class Holder:
        def __init__(self, many: tuple, named: dict) -> None:
            self.many, self.named = many, named

    holder = build_part(
        Part("Holder", many=[Part("MeanPooling"), 3], named={"x": Part("Normalize")}),
        where="pooling",
    )
    assert isinstance(holder.many[0], MeanPooling)
    assert holder.many[1] == 3
    assert isinstance(holder.named["x"], Normalize)


def test_the_place_of_a_bad_nested_part_is_named():
    register_module(Scaled)
    config = ModelConfig(embedding=EMBEDDING, pooling=Part("Scaled", inner=Part("MaxPoling")))
    with pytest.raises(ConfigError, match=r"pooling\.inner: .*'MaxPooling'"):
        build(config, rngs=nnx.Rngs(0))


def test_registered_modules_are_known_by_their_name():
    assert register_module(Scaled) is Scaled
    assert known_parts()["Scaled"] is Scaled


def test_a_name_is_given_once():
    clash = type("MeanPooling", (nnx.Module,), {"__doc__": "Not the one of the zoo."})
    with pytest.raises(ConfigError, match="'MeanPooling' exists already.*another name"):
        register_module(clash)
    assert known_parts()["MeanPooling"] is MeanPooling


def test_code_that_runs_again_registers_again():
    def define() -> type:
        class Mine:
            pass

        return Mine

    first, second = define(), define()
    register_module(first)
    register_module(second)
    assert known_parts()["Mine"] is second


@pytest.mark.parametrize("thing", [lambda: None, Scaled.__call__, "Scaled", None])
def test_only_classes_are_registered(thing):
    with pytest.raises(ConfigError, match="takes a class"):
        register_module(thing)


def test_an_unregistered_type_is_refused_and_its_code_is_not_looked_for(tmp_path):
    # A module of that name lies where Python would import it from.
    (tmp_path / "evil.py").write_text("raise SystemExit('ran code named in a config')")
    config = {"format_version": 1, "embedding": {"type": "evil"}}
    code = f"""
        import json, sys
        from flax import nnx
        from textzoo import ModelConfig, build
        from textzoo.errors import ConfigError
        try:
            build(ModelConfig.from_dict(json.loads({json.dumps(json.dumps(config))})),
                  rngs=nnx.Rngs(0))
        except ConfigError as error:
            assert "no part is named 'evil'" in str(error), error
            assert "register_module" in str(error), error
        else:
            raise SystemExit("was built")
        assert "evil" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=tmp_path, check=True)


def test_constructors_with_free_keywords_take_any_option():
    @register_module
    class Free:
        def __init__(self, *arguments: int, size: int = 1, **options: int) -> None:
            self.options = options

    assert build_part(Part("Free", anything=3), where="embedding").options == {"anything": 3}


def test_a_mistake_inside_a_module_keeps_its_traceback():
    @register_module
    class Broken:
        def __init__(self) -> None:
            raise ValueError("from inside")

    with pytest.raises(ConfigError, match="encoder: Broken refused its options: from inside") as e:
        build_part(Part("Broken"), where="encoder")
    assert isinstance(e.value.__cause__, ValueError)


def test_accepts_option_reads_the_constructor():
    assert accepts_option(EMBEDDING, "dtype")
    assert not accepts_option(Part("MeanPooling"), "dtype")


def test_check_options_needs_no_model():
    check_options(EMBEDDING, where="embedding")
    with pytest.raises(ConfigError, match="embedding: .*'widht'"):
        check_options(EMBEDDING.replace(widht=3), where="embedding")


def test_a_tokenizer_that_needs_a_file_asks_for_its_directory():
    with pytest.raises(ConfigError, match="give the directory"):
        build_tokenizer(Part("SubwordTokenizer"))


def test_options_of_a_tokenizer_are_checked_before_its_file_is_read(tmp_path):
    with pytest.raises(ConfigError, match="tokenizer: .*did you mean 'max_length'"):
        build_tokenizer(Part("SubwordTokenizer", maxlength=3), tmp_path)
    with pytest.raises(FileNotFoundError, match=r"tokenizer\.json"):
        build_tokenizer(Part("SubwordTokenizer"), tmp_path)


def test_a_tokenizer_without_a_file_is_built_from_its_options():
    @register_module
    class Bytes:
        def __init__(self, max_length: int = 16) -> None:
            self.max_length = max_length

    assert build_tokenizer(Part("Bytes", max_length=4)).max_length == 4
