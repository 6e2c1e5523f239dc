import threading
import time
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_encoder import SENTENCES, tiny_encoder

from textzoo import calls, launching
from textzoo.batching import Shape
from textzoo.encoding import Batch
from textzoo.launching import results, workers_for
from textzoo.modules.tokenizers.base import Tokenized

TEXTS = [" ".join(SENTENCES[i % 5].split()[: 1 + (7 * i) % 9]) for i in range(200)]


def make_batches(count, rows=3):
    tokens = Tokenized(
        ids=np.zeros(rows, np.int32), starts=np.arange(rows + 1), truncated=np.zeros(rows, bool)
    )
    for number in range(count):
        indices = np.arange(rows) + rows * number
        yield Batch(indices, tokens, Shape(rows=np.arange(rows), length=4, size=rows + 1))


def number_of(batch):
    return int(batch.indices[0]) // len(batch.indices)


def launch(batch):
    # Early batches take longest, so that results are ready in another order.
    time.sleep(0.002 * (number_of(batch) % 3 == 0))
    return jnp.full((batch.shape.size, 2), number_of(batch), jnp.float32)


class Device:
    def __init__(self, platform):
        self.platform = platform


def launching_threads():
    return [t for t in threading.enumerate() if t.name.startswith("textzoo-launch")]


def nothing(texts, tokens):
    pass


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 2, 40])
def test_results_come_in_order_and_without_rows_that_fill_up(count, workers):
    progress = []
    pairs = list(
        results(
            make_batches(count), launch, lambda *done: progress.append(done), workers=workers
        )
    )  # fmt: skip
    assert [number_of(batch) for batch, _ in pairs] == list(range(count))
    for number, (_, vectors) in enumerate(pairs):
        np.testing.assert_array_equal(vectors, np.full((3, 2), number, np.float32), strict=True)
    assert progress == [(3, 3)] * count
    assert launching_threads() == []


def test_launches_run_side_by_side_as_many_as_workers():
    barrier = threading.Barrier(3, timeout=30)
    running, most = set(), []

    def together(batch):
        running.add(number_of(batch))
        most.append(len(running))
        barrier.wait()  # broken, and so an error, unless three launches run at once
        running.discard(number_of(batch))
        return launch(batch)

    assert len(list(results(make_batches(9), together, nothing, workers=3))) == 9
    assert max(most) == 3


def test_a_single_batch_and_a_single_worker_need_no_thread():
    threads = []

    def here(batch):
        threads.append(threading.current_thread())
        return launch(batch)

    list(results(make_batches(1), here, nothing, workers=4))
    list(results(make_batches(5), here, nothing, workers=1))
    assert set(threads) == {threading.current_thread()}


def test_batches_are_drawn_a_few_ahead_of_the_results():
    drawn = []

    def watched():
        for batch in make_batches(60):
            drawn.append(threading.current_thread())
            yield batch

    stream = results(watched(), launch, nothing, workers=2)
    for taken, _ in enumerate(stream, start=1):
        assert len(drawn) <= taken + 6
    assert len(drawn) == 60 and set(drawn) == {threading.current_thread()}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_in_a_launch_surfaces_behind_the_results_before_it(error):
    def fails(batch):
        if number_of(batch) == 7:
            raise error("batch 7")
        return launch(batch)

    seen = []
    with pytest.raises(error, match="batch 7"):
        for batch, _ in results(make_batches(40), fails, nothing, workers=2):
            seen.append(number_of(batch))
    assert seen == list(range(7))
    assert launching_threads() == []


def test_an_error_in_the_batches_or_the_progress_surfaces():
    def broken():
        yield from make_batches(7)
        raise ValueError("no more")

    def stop(texts, tokens):
        raise KeyboardInterrupt

    with pytest.raises(ValueError, match="no more"):
        list(results(broken(), launch, nothing, workers=2))
    assert launching_threads() == []
    with pytest.raises(KeyboardInterrupt) as caught:
        list(results(make_batches(7), launch, stop, workers=2))
    assert launching_threads() == []  # while the error, and all frames it holds, are alive
    assert caught.value.args == ()


def test_after_an_error_waiting_batches_are_not_launched():
    launched = []

    def fails(batch):
        launched.append(number_of(batch))
        if number_of(batch) == 0:
            raise ValueError("the first")
        time.sleep(0.5)
        return launch(batch)

    with pytest.raises(ValueError, match="the first"):
        list(results(make_batches(40), fails, nothing, workers=2))
    assert len(launched) <= 3  # the one that failed, and one in each thread


def test_results_that_nobody_takes_leave_no_thread():
    stream = results(make_batches(40), launch, nothing, workers=2)
    next(stream)
    assert launching_threads() != []
    stream.close()
    assert launching_threads() == []


def test_settings_of_the_calling_thread_hold():
    """A precision set around the call must reach the computation."""
    seen = []

    def look(batch):
        seen.append(jax.config.jax_default_matmul_precision)
        return launch(batch)

    with jax.default_matmul_precision("highest"):
        assert len(list(results(make_batches(12), look, nothing, workers=2))) == 12
    assert seen == ["highest"] * 12
    assert launching_threads() == []


def test_a_processor_has_a_worker_per_core_up_to_a_limit(monkeypatch):
    parameters = [jnp.zeros(2), np.zeros(3)]
    for cores, workers in ((1, 1), (2, 2), (64, 8)):
        monkeypatch.setattr(launching, "_cores", lambda cores=cores: cores)
        assert workers_for(parameters) == workers_for([np.zeros(3)]) == workers


def test_other_devices_and_models_on_several_have_launches_in_one_order(monkeypatch):
    monkeypatch.setattr(launching, "_cores", lambda: 2)

    def on(*platforms):
        return SimpleNamespace(devices=lambda: set(map(Device, platforms)))

    assert workers_for([on("cpu")]) == 2
    assert workers_for([on("gpu")]) == 1
    assert workers_for([on("cpu", "cpu")]) == 1
    assert workers_for([on("cpu"), on("cpu")]) == 1


@pytest.mark.parametrize("layers", [0, 1])
def test_an_encoder_gives_the_same_bytes_with_and_without_workers(layers, monkeypatch):
    encoder = tiny_encoder(layers=layers)
    monkeypatch.setattr(calls, "workers_for", lambda parameters: 1)
    one = encoder.encode(TEXTS)
    monkeypatch.setattr(calls, "workers_for", lambda parameters: 3)
    assert encoder.last_report.batches > 4
    np.testing.assert_array_equal(encoder.encode(TEXTS), one)


def test_encode_to_leaves_no_thread_when_the_disk_is_full(tmp_path, monkeypatch):
    from textzoo import encode_to

    def full(self, shard, vectors):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(encode_to.VectorFile, "append", full)
    with pytest.raises(OSError, match="No space") as caught:
        tiny_encoder().encode_to(TEXTS, tmp_path, shard_size=20)
    assert launching_threads() == []  # again while the error is alive
    assert caught.value.errno == 28
