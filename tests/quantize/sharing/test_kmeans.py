from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from lilliput.quantize.sharing.kmeans import centroids_of


def cost(values: np.ndarray, centroids: np.ndarray, mass: np.ndarray) -> float:
    distances = (values[:, None] - centroids[None]) ** 2
    return float((distances.min(1) * mass).sum())


@given(
    numbers=st.lists(st.tuples(st.integers(-20, 20), st.integers(1, 5)), min_size=1, max_size=9),
    clusters=st.integers(1, 4),
)
def test_is_the_best_of_all_partitions(numbers: list[tuple[int, int]], clusters: int) -> None:
    values, mass = (np.array(column, float) for column in zip(*numbers, strict=True))
    found = centroids_of(values, clusters, mass)
    order = np.argsort(values)
    line, weight = values[order], mass[order]
    best = np.inf
    for parts in range(1, min(clusters, len(line)) + 1):
        for cuts in combinations(range(1, len(line)), parts - 1):
            means = [
                np.average(piece, weights=heavy)
                for piece, heavy in zip(np.split(line, cuts), np.split(weight, cuts), strict=True)
            ]
            best = min(best, cost(line, np.array(means), weight))
    assert len(found) <= clusters
    assert cost(values, found, mass) == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("clusters", [4, 16, 64])
def test_of_many_numbers_is_no_worse_than_from_a_linear_start(clusters: int) -> None:
    """The twin is what Deep Compression does: evenly from least to largest, then Lloyd."""
    values = np.random.default_rng(0).standard_normal(5000)
    twin = np.linspace(values.min(), values.max(), clusters)
    for _ in range(100):
        nearest = np.abs(values[:, None] - twin[None]).argmin(1)
        twin = np.array(
            [
                values[nearest == i].mean() if (nearest == i).any() else twin[i]
                for i in range(clusters)
            ]
        )
    ones = np.ones_like(values)
    assert cost(values, centroids_of(values, clusters), ones) <= 1.001 * cost(values, twin, ones)


def test_fewer_distinct_numbers_than_clusters_are_their_own_centroids() -> None:
    assert centroids_of(np.array([2.0, 1.0, 2.0]), 16).tolist() == [1.0, 2.0]
    assert centroids_of(np.array([3.0, 3.0]), 16).tolist() == [3.0]


def test_what_matters_more_is_nearer() -> None:
    values = np.array([0.0, 1.0])
    assert centroids_of(values, 1, np.array([3.0, 1.0])).tolist() == [0.25]
