"""k-means of numbers on a line."""

import numpy as np
from jaxtyping import Float64, Int64

__all__ = ["centroids_of"]

_MOST_SWEEPS = 100

Numbers = Float64[np.ndarray, " numbers"]
Joined = Float64[np.ndarray, " joined"]
Centroids = Float64[np.ndarray, " centroids"]
Places = Int64[np.ndarray, " places"]
Ends = Float64[np.ndarray, " ends"]


def centroids_of(values: Numbers, clusters: int, importance: Numbers | None = None) -> Centroids:
    """The centroids, rising, of least squared distance.

    Exact for few numbers. Many are first joined to neighbours of about equal importance, 16 to a
    cluster; what is exact for these is then swept over all of them until nothing moves.

    Args:
        values: What to cluster, one number or more.
        clusters: At most so many centroids; where there are fewer distinct numbers, those.
        importance: What a squared distance of each number costs, more than 0; by default 1.

    Source: Wang and Song 2011, "Ckmeans.1d.dp", section 2, its rows by divide and conquer as in
    Song and Zhong 2020 (Bioinformatics 36, 20); sweeps: Lloyd 1982.
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
    size = len(line)
    cost = _Cost(line, mass)
    least = np.r_[0.0, cost(np.zeros(size, np.int64), np.arange(1, size + 1))]
    firsts: list[Places] = []
    for _ in range(clusters - 1):
        first, least = _last_cluster(least, cost)
        firsts.append(first)
    centroids = []
    end = size
    for first in reversed(firsts):
        if (start := int(first[end])) == 0:
            break
        centroids.append(np.average(line[start:end], weights=mass[start:end]))
        end = start
    centroids.append(np.average(line[:end], weights=mass[:end]))
    return np.asarray(centroids[::-1])


def _last_cluster(before: Ends, cost: "_Cost") -> tuple[Places, Ends]:
    """Where it begins and what all costs then, for as many first numbers as the index says.

    It begins later where there are more numbers. So halves are found first, then quarters between
    them, and each looks only from where its left neighbour's begins to where its right's does.

    Args:
        before: What so many first numbers cost with one cluster less.
        cost: Of one cluster.
    """
    size = len(before) - 1
    first, least = np.zeros(size + 1, np.int64), np.zeros(size + 1)
    step = 1 << (size.bit_length() - 1)
    while step:
        ends = np.arange(step, size + 1, 2 * step)
        low, right = first[ends - step], ends + step
        high = np.where(right <= size, first[right.clip(max=size)], size).clip(max=ends - 1)
        counts = high - low + 1
        starts = np.cumsum(counts) - counts
        tried = np.arange(counts.sum()) - np.repeat(starts - low, counts)
        whole = before[tried] + cost(tried, np.repeat(ends, counts))
        least[ends] = np.minimum.reduceat(whole, starts)
        best = np.flatnonzero(whole == np.repeat(least[ends], counts))
        first[ends] = tried[best[np.searchsorted(best, starts)]]
        step //= 2
    return first, least


class _Cost:
    """What one cluster costs that holds the numbers from a first one to before an end."""

    def __init__(self, line: Numbers, mass: Numbers) -> None:
        line = line - np.average(line, weights=mass)
        self._sums: list[Ends] = [np.r_[0.0, np.cumsum(mass * line**power)] for power in range(3)]

    def __call__(self, first: Places, end: Places) -> Float64[np.ndarray, " clusters"]:
        mass, linear, square = (total[end] - total[first] for total in self._sums)
        cost: Float64[np.ndarray, " clusters"] = square - linear**2 / mass
        return cost.clip(min=0.0)


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
