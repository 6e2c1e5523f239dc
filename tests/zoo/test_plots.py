import numpy as np
import pytest

from textzoo.plots import draw_overview, neighbor_map, project


def clusters():
    generator = np.random.default_rng(0)
    centers = np.repeat(np.eye(3, 8), 10, axis=0)
    return (centers + 0.1 * generator.normal(size=(30, 8))).astype(np.float32)


def test_project_keeps_the_main_direction():
    vectors = np.array([[1, 0.5, 0], [1, -0.5, 0], [1, 0, 0.1], [1, 0, -0.1]], np.float32)
    points = project(vectors)
    assert abs(points[0, 0] - points[1, 0]) > 5 * abs(points[2, 0] - points[3, 0])
    np.testing.assert_allclose(points.mean(axis=0), 0, atol=1e-6)


def test_neighbor_map_keeps_clusters_apart():
    points = neighbor_map(clusters())
    groups = points.reshape(3, 10, 2)
    spread = np.linalg.norm(groups - groups.mean(1, keepdims=True), axis=2).max()
    centers = groups.mean(1)
    apart = min(np.linalg.norm(centers[i] - centers[j]) for i, j in ((0, 1), (0, 2), (1, 2)))
    assert apart > 2 * spread


def test_neighbor_map_repeats():
    np.testing.assert_array_equal(neighbor_map(clusters()), neighbor_map(clusters()))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6])
def test_few_or_equal_vectors_have_places(count):
    for vectors in (np.ones((count, 4), np.float32), np.eye(count, 4, dtype=np.float32)):
        points = neighbor_map(vectors)
        assert points.shape == (count, 2)
        assert np.isfinite(points).all()


def test_overview_is_written_in_the_format_of_its_suffix(tmp_path):
    texts = [f"text {number}" for number in range(30)]
    groups = ["a"] * 10 + ["b"] * 10 + ["c"] * 10
    draw_overview(tmp_path / "x.svg", texts, groups, clusters(), title="three groups")
    assert "<svg" in (tmp_path / "x.svg").read_text(encoding="utf-8")
