import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textzoo.errors import WeightsError
from textzoo.trainers.averaging import average_checkpoints, greedy_soup, update_average


def tree(*values):
    return {"a": jnp.full((2,), values[0], jnp.float32), "b.c": jnp.float32(values[-1])}


def host(value, dtype=np.float32):
    return {"w": np.full((2, 3), value, dtype)}


def test_the_average_moves_by_what_the_decay_leaves():
    # Late in a run: 0.9 * 1 + 0.1 * 3 = 1.2 and 0.9 * 2 + 0.1 * 12 = 3.
    found = update_average(tree(1, 2), tree(3, 12), decay=0.9, step=10_000)
    np.testing.assert_allclose(found["a"], 1.2, rtol=1e-6)
    np.testing.assert_allclose(found["b.c"], 3.0, rtol=1e-6)


def test_a_young_run_forgets_its_beginning():
    # Step 0: decay 1/10; step 8: 9/18.
    first = update_average(tree(0), tree(1), decay=0.999, step=jnp.int32(0))
    np.testing.assert_allclose(first["a"], 0.9, rtol=1e-6)
    ninth = update_average(tree(0), tree(1), decay=0.999, step=jnp.int32(8))
    np.testing.assert_allclose(ninth["a"], 0.5, rtol=1e-6)


@given(decay=st.floats(0, 0.9999), step=st.integers(0, 10**6))
def test_the_average_of_what_does_not_change_does_not_change(decay, step):
    found = update_average(tree(0.3, 7), tree(0.3, 7), decay=decay, step=step)
    np.testing.assert_array_equal(found["a"], tree(0.3)["a"])


def test_the_average_of_half_precision_is_kept_in_full():
    params = {"a": jnp.ones((2,), jnp.bfloat16)}
    found = update_average({"a": jnp.zeros(2)}, params, decay=0.99999, step=10**7)
    assert found["a"].dtype == jnp.float32 and float(found["a"][0]) == pytest.approx(1e-5, rel=0.01)


def test_the_average_is_the_same_in_a_compiled_step():
    def update(average, params, step):
        return update_average(average, params, decay=0.9, step=step)

    arguments = tree(1, 2), tree(3, 4), jnp.int32(5)
    for path, value in jax.jit(update)(*arguments).items():
        np.testing.assert_allclose(value, update(*arguments)[path], rtol=1e-6)


def test_checkpoints_are_averaged_evenly_or_by_weight():
    np.testing.assert_array_equal(
        average_checkpoints([host(1), host(2), host(6)])["w"], host(3)["w"]
    )
    weighted = average_checkpoints([host(1), host(5)], weights=[3, 1])
    np.testing.assert_array_equal(weighted["w"], host(2)["w"])


def test_the_average_of_one_checkpoint_is_the_checkpoint():
    for dtype in (np.float32, np.float16, jnp.bfloat16):
        found = average_checkpoints([host(0.1, dtype)])["w"]
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, host(0.1, dtype)["w"])


def test_checkpoints_that_do_not_fit_together_are_refused():
    other = {"w": np.zeros((3, 2), np.float32), "v": np.zeros(1, np.float32)}
    with pytest.raises(WeightsError, match=r"checkpoint 2 (?s:.)*not in the model: v"):
        average_checkpoints([host(1), other])


@pytest.mark.parametrize("weights", [[1.0], [0.0, 0.0], [1.0, -1.0], [1.0, float("nan")]])
def test_bad_weights_are_refused(weights):
    with pytest.raises(WeightsError, match="2 checkpoints have the weights"):
        average_checkpoints([host(1), host(2)], weights)


def test_no_checkpoints_are_refused():
    for average in (average_checkpoints, lambda nothing: greedy_soup(nothing, lambda _: 0.0)):
        with pytest.raises(WeightsError, match="no checkpoints"):
            average([])


def test_a_greedy_soup_keeps_what_helps():
    # The nearer to 4 the better. Alone: 5 (-1), 2 (-2), 9 (-5), 1 (-3). 5 is best; with 2 it is
    # 3.5 (-0.5), with 1 then 2.67 (-1.3, refused), with 9 then 5.33 (-1.3, refused).
    soup = greedy_soup([host(2), host(5), host(9), host(1)], lambda p: -abs(p["w"][0, 0] - 4.0))
    assert soup.members == (1, 0)
    assert soup.score == -0.5 and soup.scores == (-2, -1, -5, -3)
    np.testing.assert_array_equal(soup.params["w"], host(3.5)["w"])


def test_a_soup_is_never_worse_than_its_best_ingredient():
    random = np.random.default_rng(0)
    values = random.normal(size=8)
    score = lambda p: float(np.cos(7 * p["w"][0, 0]))  # noqa: E731
    soup = greedy_soup([host(value) for value in values], score)
    assert soup.score >= max(soup.scores)


def test_a_checkpoint_without_a_score_is_left_out():
    soup = greedy_soup([host(1), host(2)], lambda p: float("nan") if p["w"][0, 0] == 1 else 0.5)
    assert soup.members == (1,)
    with pytest.raises(WeightsError, match="no number among them"):
        greedy_soup([host(1)], lambda p: float("nan"))
