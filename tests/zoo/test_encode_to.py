import gzip
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from flax import nnx
from tiny_encoder import SENTENCES, tiny_encoder, tiny_model, tiny_tokenizer

from textzoo import TextEncoder, build, load
from textzoo import encode_to as encode_to_module
from textzoo.errors import ConfigError, DataError, ResumeError, TextInputError, TruncationWarning

TEXTS = [f"{SENTENCES[i % 5][: 3 + i % 11]} {i}" for i in range(60)]
FILES = {".lock", "manifest.json", "vectors.npy"}


class Crash(BaseException):
    """Like a kill, nothing in the code under test catches it."""


def crash_at(monkeypatch, call_number):
    """Lets the n-th call of os.fsync or os.replace fail, before (even) or after (odd) its work."""
    calls = {"left": call_number}

    def wrap(function):
        def wrapped(*args):
            calls["left"] -= 1
            if calls["left"] == -1:
                if call_number % 2:
                    function(*args)
                raise Crash
            return function(*args)

        return wrapped

    monkeypatch.setattr(encode_to_module.os, "fsync", wrap(os.fsync))
    monkeypatch.setattr(encode_to_module.os, "replace", wrap(os.replace))


def test_the_result_is_a_memory_mapped_file_of_the_vectors(tmp_path):
    encoder = tiny_encoder()
    result = encoder.encode_to(TEXTS, tmp_path / "new" / "folder", shard_size=16)
    assert isinstance(result, np.memmap) and result.dtype == np.float32
    np.testing.assert_allclose(result, encoder.encode(TEXTS), atol=1e-6)
    assert set(os.listdir(tmp_path / "new" / "folder")) == FILES
    again = np.load(tmp_path / "new" / "folder" / "vectors.npy", mmap_mode="r")
    np.testing.assert_array_equal(again, result)


@pytest.mark.parametrize("make", [iter, tuple, np.array])
def test_texts_may_come_as_any_sequence_or_iterator(make, tmp_path):
    encoder = tiny_encoder()
    expected = encoder.encode_to(TEXTS, tmp_path / "a", shard_size=16)
    result = encoder.encode_to(make(TEXTS), tmp_path / "b", shard_size=16)
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("suffix", [".txt", ".txt.gz"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_file_has_one_text_per_line(suffix, end, tmp_path):
    lines = ["the fox", "", "naïve café\u2028 dog", " spaces "]
    data = "\ufeff".encode() + (end.join(lines) + end).encode()
    path = tmp_path / f"texts{suffix}"
    path.write_bytes(gzip.compress(data) if suffix.endswith("gz") else data)
    encoder = tiny_encoder()
    result = encoder.encode_to(str(path), tmp_path / "out")
    np.testing.assert_allclose(result, encoder.encode(lines), atol=1e-6)


def test_a_line_that_is_not_utf_8_is_named(tmp_path):
    (tmp_path / "texts.txt").write_bytes(b"fine\nlatin \xe9\n")
    with pytest.raises(DataError, match="texts.txt, line 2: byte 6 is not UTF-8"):
        tiny_encoder().encode_to(tmp_path / "texts.txt", tmp_path / "out")


def test_a_path_that_is_no_file_is_named(tmp_path):
    with pytest.raises(TextInputError, match="the quick fox is not a file.*one text per line"):
        tiny_encoder().encode_to("the quick fox", tmp_path / "out")


def test_no_texts_give_an_empty_file(tmp_path):
    assert tiny_encoder().encode_to([], tmp_path).shape == (0, 8)
    assert tiny_encoder().encode_to(iter([]), tmp_path).shape == (0, 8)


def test_half_precision_and_narrow_vectors(tmp_path):
    encoder = tiny_encoder()
    result = encoder.encode_to(TEXTS, tmp_path, dtype="float16", truncate_dim=3, shard_size=16)
    assert result.dtype == np.float16 and result.shape == (60, 3)
    np.testing.assert_allclose(result, encoder.encode(TEXTS, truncate_dim=3), atol=1e-3)


def test_vectors_beyond_half_precision_are_refused(tmp_path):
    model = build(tiny_model(normalize=False).config, rngs=nnx.Rngs(0))
    model.embedding.table.set_value(model.embedding.table[...] * 1e8)
    with pytest.raises(TextInputError, match="65504.*float32"):
        TextEncoder(model, tiny_tokenizer()).encode_to(TEXTS, tmp_path, dtype="float16")


@pytest.mark.parametrize("call_number", range(21))
def test_a_crash_at_any_write_leaves_what_a_second_call_completes(
    call_number, tmp_path, monkeypatch
):
    encoder = tiny_encoder()
    encoder.encode_to(TEXTS, tmp_path / "whole", shard_size=16)
    with monkeypatch.context() as patch:
        crash_at(patch, call_number)
        with pytest.raises(Crash):
            encoder.encode_to(iter(TEXTS), tmp_path / "killed", shard_size=16)
    encoder.encode_to(iter(TEXTS), tmp_path / "killed", shard_size=16)
    for name in ("vectors.npy", "manifest.json"):
        expected = (tmp_path / "whole" / name).read_bytes()
        assert (tmp_path / "killed" / name).read_bytes() == expected
    assert set(os.listdir(tmp_path / "killed")) == FILES


def test_a_second_call_goes_on_behind_the_committed_shards(tmp_path, monkeypatch):
    encoder = tiny_encoder()
    with monkeypatch.context() as patch:
        crash_at(patch, 11)
        with pytest.raises(Crash):
            encoder.encode_to(TEXTS, tmp_path, shard_size=16)
    committed = len(json.loads((tmp_path / "manifest.json").read_text())["shards"])
    assert committed == 3
    encoder.encode_to(TEXTS, tmp_path, shard_size=16)
    assert encoder.last_report.texts == 60 - 16 * committed
    encoder.encode_to(TEXTS, tmp_path, shard_size=16)
    assert encoder.last_report.texts == 0


KILLER = """
import json, os, random, signal, sys, time
from pathlib import Path
from textzoo import load  # what takes long is imported once, before the processes part
import textzoo.text_encoder

corpus, model, directory = sys.argv[1], sys.argv[2], Path(sys.argv[3])
generator = random.Random(7)

def committed():
    try:
        return len(json.loads((directory / "manifest.json").read_text())["shards"])
    except FileNotFoundError:
        return 0

def start():
    process = os.fork()
    if process == 0:
        load(model).encode_to(corpus, directory, shard_size=8)
        os._exit(0)
    return process

killed_at = []
for _ in range(5):
    wanted = committed() + generator.randrange(1, 40)
    process = start()
    while committed() < wanted:
        time.sleep(0.001)
    time.sleep(generator.random() * 0.01)
    os.kill(process, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGKILL
    killed_at.append(committed())
assert os.waitstatus_to_exitcode(os.waitpid(start(), 0)[1]) == 0
print(json.dumps(killed_at))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills processes the Unix way")
def test_processes_that_are_killed_leave_what_the_next_one_completes(tmp_path):
    tiny_encoder(layers=1).save(tmp_path / "model")
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("".join(f"{TEXTS[i % 60]}\n" for i in range(3_000)), encoding="utf-8")
    arguments = [str(corpus), str(tmp_path / "model"), str(tmp_path / "killed")]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KILLER, *arguments],
        env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    killed_at = json.loads(done.stdout)
    assert killed_at == sorted(set(killed_at)) and killed_at[-1] < 375
    whole = load(tmp_path / "model").encode_to(corpus, tmp_path / "whole", shard_size=8)
    assert whole.shape == (3_000, 8)
    for name in ("vectors.npy", "manifest.json"):
        expected = (tmp_path / "whole" / name).read_bytes()
        assert (tmp_path / "killed" / name).read_bytes() == expected


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ([*TEXTS[:20], "another", *TEXTS[21:]], r"shard 1 \(texts 16 to 31\) differs"),
        (TEXTS[:40], r"shard 2 \(texts 32 to 47\) differs"),
        (TEXTS[:32], "it ends before text 60"),
        ([*TEXTS, "more"], r"shard 3 .* differs"),
        (["a b", "c", *TEXTS[2:]], r"shard 0"),
    ],
)
def test_another_corpus_is_refused(changed, message, tmp_path):
    tiny_encoder().encode_to(TEXTS, tmp_path, shard_size=16)
    with pytest.raises(ResumeError, match=f"another corpus: {message}.*resume=False"):
        tiny_encoder().encode_to(changed, tmp_path, shard_size=16)


def test_a_corpus_that_goes_on_behind_full_shards_is_refused(tmp_path):
    tiny_encoder().encode_to(TEXTS[:32], tmp_path, shard_size=16)
    with pytest.raises(ResumeError, match="it goes on after text 31"):
        tiny_encoder().encode_to(TEXTS, tmp_path, shard_size=16)


def test_texts_that_join_to_the_same_string_are_told_apart():
    one, other = ["ab", "c"], ["a", "bc"]
    digests = {next(encode_to_module.cut_into_shards(texts, 9)).digest for texts in (one, other)}
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shard_size": 8}, "shard_size: was 16, is 8"),
        ({"dtype": "float16"}, "dtype: was 'float32', is 'float16'"),
        ({"truncate_dim": 4}, "truncate_dim: was None, is 4"),
        ({"prompt": "query"}, "prompt: was '', is 'query: '"),
    ],
)
def test_other_options_are_refused(options, message, tmp_path):
    encoder = tiny_encoder(prompts={"query": "query: "})
    encoder.encode_to(TEXTS, tmp_path, **{"shard_size": 16, "prompt": ""})
    with pytest.raises(ResumeError, match=f"(?s)other options.*{message}.*resume=False"):
        encoder.encode_to(TEXTS, tmp_path, **{"shard_size": 16, "prompt": "", **options})


def test_another_model_or_tokenizer_is_refused(tmp_path):
    tiny_encoder().encode_to(TEXTS, tmp_path)
    other = TextEncoder(
        build(tiny_model().config, rngs=nnx.Rngs(5)), tiny_tokenizer(), tokens_per_batch=128
    )
    with pytest.raises(ResumeError, match="weights: was"):
        other.encode_to(TEXTS, tmp_path)
    with pytest.raises(ResumeError, match="tokenizer: was"):
        tiny_encoder(tokenizer=tiny_tokenizer(drop_unknown=True)).encode_to(TEXTS, tmp_path)
    with pytest.raises(ResumeError, match="config: was"):
        tiny_encoder(normalize=False).encode_to(TEXTS, tmp_path)


def test_starting_over_replaces_what_is_there(tmp_path):
    encoder = tiny_encoder()
    encoder.encode_to(TEXTS, tmp_path)
    result = encoder.encode_to(TEXTS[::-1], tmp_path, resume=False)
    np.testing.assert_allclose(result, encoder.encode(TEXTS[::-1]), atol=1e-6)


@pytest.mark.parametrize("damage", ["{", "{}", "[1]", '{"format": "other", "run": {}}'])
def test_a_manifest_of_something_else_is_refused(damage, tmp_path):
    (tmp_path / "manifest.json").write_text(damage)
    with pytest.raises(ResumeError, match="not a manifest of vectors"):
        tiny_encoder().encode_to(TEXTS, tmp_path)


def test_vectors_of_unknown_origin_are_not_overwritten(tmp_path):
    np.save(tmp_path / "vectors.npy", np.zeros(3))
    with pytest.raises(ResumeError, match="no manifest.json describes"):
        tiny_encoder().encode_to(TEXTS, tmp_path)
    np.testing.assert_array_equal(np.load(tmp_path / "vectors.npy"), np.zeros(3))


def test_lost_vectors_are_noticed(tmp_path, monkeypatch):
    encoder = tiny_encoder()
    encoder.encode_to(TEXTS, tmp_path / "done")
    (tmp_path / "done" / "vectors.npy").unlink()
    with pytest.raises(ResumeError, match="is gone"):
        encoder.encode_to(TEXTS, tmp_path / "done")
    with monkeypatch.context() as patch:
        crash_at(patch, 10)
        with pytest.raises(Crash):
            encoder.encode_to(TEXTS, tmp_path / "cut", shard_size=16)
    with (tmp_path / "cut" / "vectors.partial").open("r+b") as file:
        file.truncate(500)
    with pytest.raises(ResumeError, match="has 500 bytes, its manifest promises"):
        encoder.encode_to(TEXTS, tmp_path / "cut", shard_size=16)


def test_two_writers_do_not_share_a_directory(tmp_path):
    pytest.importorskip("fcntl")
    encoder = tiny_encoder()

    def texts():
        yield from TEXTS[:4]
        with pytest.raises(ResumeError, match="another process is writing"):
            encoder.encode_to(TEXTS, tmp_path)

    assert encoder.encode_to(texts(), tmp_path).shape == (4, 8)


def test_a_bad_text_keeps_the_shards_before_it(tmp_path):
    encoder = tiny_encoder()
    with pytest.raises(TextInputError, match=r"texts\[230\] is NoneType"):
        encoder.encode_to(iter([*(TEXTS * 4)[:230], None]), tmp_path, shard_size=8)
    encoder.encode_to(TEXTS * 4, tmp_path, shard_size=8)
    assert encoder.last_report.texts < 160


def test_cut_texts_are_counted(tmp_path):
    with pytest.warns(TruncationWarning, match="1 of 2 texts"):
        tiny_encoder().encode_to(["fox", "fox " * 99], tmp_path)


@pytest.mark.parametrize("options", [{"dtype": "int8"}, {"shard_size": 0}])
def test_options_that_make_no_sense_are_refused(options, tmp_path):
    with pytest.raises(ConfigError, match=next(iter(options))):
        tiny_encoder().encode_to(TEXTS, tmp_path, **options)


def test_long_texts_close_a_shard_early(monkeypatch):
    monkeypatch.setattr(encode_to_module, "_SHARD_CHARACTERS", 10)
    shards = list(encode_to_module.cut_into_shards(["x" * 6] * 5, 100))
    assert [(shard.first, len(shard.texts)) for shard in shards] == [(0, 2), (2, 2), (4, 1)]
