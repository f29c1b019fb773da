"""k-means of numbers on a line."""

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

__all__ = ["centroids_of"]

_MOST_SWEEPS = 100

Numbers = Float64[np.ndarray, " numbers"]
Joined = Float64[np.ndarray, " joined"]
Centroids = Float64[np.ndarray, " centroids"]


def centroids_of(values: Numbers, clusters: int, importance: Numbers | None = None) -> Centroids:
    """The centroids, rising, of least squared distance.

    Exact for few numbers. Many are first joined to neighbours of about equal importance, 16 to a
    cluster; what is exact for these is then swept over all of them until nothing moves.

    Args:
        values: What to cluster, one number or more.
        clusters: At most so many centroids; where there are fewer distinct numbers, those.
        importance: What a squared distance of each number costs, more than 0; by default 1.

    Source: Wang and Song 2011, "Ckmeans.1d.dp", section 2; sweeps: Lloyd 1982.
    """
    order = np.argsort(values, kind="stable")
    line = values[order]
    mass = np.ones_like(line) if importance is None else importance[order]
    is_new = np.r_[True, line[1:] != line[:-1]]
    starts = np.flatnonzero(is_new)
    line, mass = line[starts], np.add.reduceat(mass, starts)
    if len(line) <= clusters:
        return line
    return _swept(line, mass, _exact(*_joined(line, mass, 16 * clusters), clusters))


def _joined(line: Numbers, mass: Numbers, most: int) -> tuple[Joined, Joined]:
    """Neighbours joined into their mean, so that there are at most so many."""
    if len(line) <= most:
        return line, mass
    share = (np.cumsum(mass) - mass / 2) / mass.sum()
    places = (share * most).astype(np.int64).clip(0, most - 1)
    starts = np.flatnonzero(np.r_[True, places[1:] != places[:-1]])
    total = np.add.reduceat(mass, starts)
    return np.add.reduceat(mass * line, starts) / total, total


def _exact(line: Numbers, mass: Numbers, clusters: int) -> Centroids:
    """Dynamic programming: the last cluster holds the numbers from some place on."""
    clusters = min(clusters, len(line))
    spread = _spread(line, mass)
    least = spread[0]
    firsts: list[NDArray[np.int64]] = []
    for _ in range(clusters - 1):
        # entry (first, last): those before `first` as well as they go, and one cluster from it on
        whole = np.full_like(spread, np.inf)
        whole[1:] = least[:-1, None] + spread[1:]
        first = whole.argmin(0)
        firsts.append(first)
        least = whole[first, np.arange(len(line))]
    centroids = []
    end = len(line)
    for first in reversed(firsts):
        start = int(first[end - 1])
        centroids.append(np.average(line[start:end], weights=mass[start:end]))
        end = start
    centroids.append(np.average(line[:end], weights=mass[:end]))
    return np.asarray(centroids[::-1])


def _spread(line: Numbers, mass: Numbers) -> Float64[np.ndarray, "first last"]:
    """What one cluster costs that holds the numbers from a first to a last one."""
    line = line - np.average(line, weights=mass)
    sums = [np.r_[0.0, np.cumsum(mass * line**power)] for power in range(3)]
    zeroth, first, second = (total[None, 1:] - total[:-1, None] for total in sums)
    held = np.where(zeroth > 0, zeroth, 1.0)
    cost = np.maximum(second - first**2 / held, 0.0)
    size = len(line)
    return np.where(np.arange(size)[:, None] <= np.arange(size)[None], cost, np.inf)


def _swept(line: Numbers, mass: Numbers, centroids: Centroids) -> Centroids:
    """Each number to its nearest centroid and each centroid to its numbers' mean, again and again.

    A centroid without numbers stays where it is.
    """
    moments = np.r_[0.0, np.cumsum(mass * line)]
    masses = np.r_[0.0, np.cumsum(mass)]
    for _ in range(_MOST_SWEEPS):
        ends = np.searchsorted(line, (centroids[1:] + centroids[:-1]) / 2)
        ends = np.r_[0, ends, len(line)]
        held = np.diff(masses[ends])
        new = np.where(held > 0, np.diff(moments[ends]) / np.where(held > 0, held, 1), centroids)
        if np.array_equal(new, centroids):
            break
        centroids = new
    return centroids
