"""Which table says how often tokens occur in the fewest bits; for many tables at once."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lilliput.pack.bank import SCALES
from lilliput.pack.tables import TOTAL, Counts, Listed, Shaped, Table, bank, shared
from lilliput.pack.tokens import ALPHABET, Alphabet

__all__ = ["Fitted", "fitted", "fitted_parts"]

Costs = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Fitted = tuple[list[Table], Counts]
"""Tables, and the frequencies of their tokens."""

_MOST_SPIKES = 12
_SPIKE_BITS = 24
_NARROWER, _WIDER = 8, 6
"""Scales tried on both sides of those that mean distances tell."""
_TINY = 1e-12
_ROWS = 512
"""Tables that are found at once."""


class _Fits(NamedTuple):
    """Tables of one kind.

    Args:
        frequencies: Of each token, table by table.
        bits: What each table and what is coded with it take.
        table: Gives one of them.
    """

    frequencies: Counts
    bits: Costs
    table: Callable[[int], Table]


def fitted_parts(parts: Sequence[tuple[Alphabet, Counts]]) -> list[Fitted]:
    """What `fitted` finds for each part; parts whose tokens mean the same go through it at once.

    Args:
        parts: Alphabets, and how often their tokens occur, table by table.
    """
    alike: dict[tuple[int, int], list[int]] = {}
    for place, (alphabet, _) in enumerate(parts):
        alike.setdefault(_way(alphabet), []).append(place)
    found: dict[int, Fitted] = {}
    for places in alike.values():
        whole = max((parts[place][0] for place in places), key=lambda alphabet: alphabet.size)
        counts = np.zeros((sum(len(parts[place][1]) for place in places), whole.size), np.int64)
        ends = np.cumsum([len(parts[place][1]) for place in places])
        for place, end in zip(places, ends.tolist(), strict=True):
            own = parts[place][1]
            counts[end - len(own) : end, : own.shape[1]] = own
        tables, frequencies = _in_turns(counts, whole)
        for place, end in zip(places, ends.tolist(), strict=True):
            rows = slice(end - len(parts[place][1]), end)
            found[place] = tables[rows], frequencies[rows, : parts[place][0].size]
    return [found[place] for place in range(len(parts))]


def _in_turns(counts: Counts, alphabet: Alphabet) -> Fitted:
    """What `fitted` finds, in little memory."""
    parts = [fitted(counts[at : at + _ROWS], alphabet) for at in range(0, len(counts), _ROWS)]
    tables = [table for part, _ in parts for table in part]
    return tables, np.concatenate([frequencies for _, frequencies in parts])


def _way(alphabet: Alphabet) -> tuple[int, int]:
    """What tokens mean: alphabets that are alike in it differ in where they end."""
    return (alphabet.direct, alphabet.steps) if alphabet.classes else (ALPHABET, 0)


def fitted(counts: Counts, alphabet: Alphabet) -> Fitted:
    """The cheapest table for each row of counts, and its frequencies."""
    tables: list[Table] = [Listed(((0, TOTAL),))] * len(counts)
    frequencies = np.zeros(counts.shape, np.int64)
    frequencies[:, 0] = TOTAL
    used = np.flatnonzero(counts.any(1))
    if not len(used):
        return tables, frequencies
    shaped = _shaped(counts[used], alphabet)
    may_be_listed = np.flatnonzero(_fewest_listed(counts[used]) < shaped.bits)
    listed = _listed(counts[used[may_be_listed]])
    is_listed = listed.bits < shaped.bits[may_be_listed]
    lists = {int(may_be_listed[own]): int(own) for own in np.flatnonzero(is_listed)}
    frequencies[used] = shaped.frequencies
    frequencies[used[may_be_listed[is_listed]]] = listed.frequencies[is_listed]
    for place, row in enumerate(used.tolist()):
        is_list = place in lists
        tables[row] = listed.table(lists[place]) if is_list else shaped.table(place)
    return tables, frequencies


def _fewest_listed(counts: Counts) -> Costs:
    """What a list of tokens, and they, take at least."""
    whole = counts.sum(1)
    logs = counts * np.log2(np.maximum(counts, 1))
    found: Costs = whole * np.log2(whole) - logs.sum(1) + 16 * (1 + (counts > 0).sum(1))
    return found


def _listed(counts: Counts) -> _Fits:
    """The frequencies that were counted, rounded so that each is at least 1."""
    is_used = counts > 0
    found = _rounded(counts.astype(np.float64), is_used)
    bits = 16 + _pair_bits(found, is_used) + _bits_of(counts, found)
    return _Fits(found, bits, lambda row: Listed(_pairs(found[row], is_used[row])))


def _pairs(frequencies: Counts, is_said: Mask) -> tuple[tuple[int, int], ...]:
    tokens = np.flatnonzero(is_said)
    return tuple(zip(tokens.tolist(), frequencies[tokens].tolist(), strict=True))


def _pair_bits(frequencies: Counts, is_said: Mask) -> Costs:
    """What frequencies of such tokens take to say: one byte each where they are below 129."""
    sizes = 16 + 8 * (frequencies > 128)
    found: Costs = np.where(is_said, sizes, 0).sum(1).astype(np.float64)
    return found


def _bits_of(counts: Counts, frequencies: Counts) -> Costs:
    """What tokens that occur so often take; infinite where one has no frequency."""
    is_lost = ((counts > 0) & (frequencies == 0)).any(1)
    found = (counts * (12 - np.log2(np.maximum(frequencies, 1)))).sum(1)
    return np.where(is_lost, np.inf, found)


def _rounded(counts: Costs, is_used: Mask) -> Counts:
    """Whole frequencies in proportion to counts; what is too much goes where it costs least."""
    ideal = counts * (TOTAL / counts.sum(1, keepdims=True))
    found = np.where(is_used, np.maximum(np.rint(ideal), 1), 0).astype(np.int64)
    rank = np.arange(counts.shape[1])
    while (over := found.sum(1) - TOTAL).any():
        wrong = np.flatnonzero(over)
        own, step = found[wrong], -np.sign(over[wrong])[:, None]
        may = is_used[wrong] & (own + step >= 1)
        change = counts[wrong] * np.log2(np.maximum(own + step, 1) / np.maximum(own, 1))
        order = np.argsort(np.where(may, -change, np.inf), axis=1, kind="stable")
        is_next = rank < np.minimum(np.abs(over[wrong]), may.sum(1))[:, None]
        found[wrong] += step * _back(order, is_next)
    return found


def _back(order: npt.NDArray[np.intp], mask: Mask) -> Mask:
    """A mask of sorted places as one of tokens."""
    found = np.zeros_like(mask)
    np.put_along_axis(found, order, mask, 1)
    return found


@lru_cache(16)
def _whole_bits(direct: int, steps: int) -> tuple[Costs, Costs]:
    """Bits of each token by shape and scale, with a floor of half a frequency; and shares."""
    floor = (1 << 24) / TOTAL / 2
    whole = Alphabet(direct, steps, min((32 - steps) << steps, ALPHABET - direct))
    shares = np.maximum(bank(whole), floor) / (1 << 24)
    return -np.log2(shares), shares


def _shaped(counts: Counts, alphabet: Alphabet) -> _Fits:
    """The best shapes, found with spikes where tokens stick out of a first guess."""
    last = counts.shape[1] - np.argmax(counts[:, ::-1] > 0, 1)
    is_below = np.arange(counts.shape[1]) < last[:, None]
    is_free = is_below.copy()
    is_free[:, 0] = False  # the middle is a spike from the start
    first, bits, shares = _nearby(np.where(is_free, counts, 0), alphabet)
    guess = _best(counts, is_free, bits, shares)
    is_free &= ~_sticking(counts, shares[guess], is_free)
    best = _best(counts, is_free, bits, shares)
    is_spike = is_below & ~is_free & (counts > 0)
    is_free = is_below & ~is_spike
    frequencies = _with_spikes(counts, is_spike, is_free)
    shape, scale = np.divmod(best, len(bits) // 6)
    scale += first
    rest = TOTAL - frequencies.sum(1)
    some = np.flatnonzero(is_free.any(1))
    if len(some):
        mass = bank(alphabet)[shape[some], scale[some]]
        frequencies[some] += shared(mass, is_free[some], rest[some])
    head = 32 + 8 * (last > 127)
    cost = head + _pair_bits(frequencies, is_spike) + _bits_of(counts, frequencies)

    def table(row: int) -> Table:
        pairs = _pairs(frequencies[row], is_spike[row])
        return Shaped(int(shape[row]), int(scale[row]), int(last[row]), pairs)

    return _Fits(frequencies, cost, table)


def _nearby(free: Counts, alphabet: Alphabet) -> tuple[int, Costs, Costs]:
    """Bits and shares of tokens in shapes of about the widths that there are, and the first."""
    distances = (alphabet.bases + 1) // 2
    count = free.sum(1)
    means = np.maximum((free @ distances)[count > 0] / count[count > 0], 0.1)
    scales = 12 + 4 * np.log2(means) if len(means) else np.zeros(1)
    first = min(max(int(scales.min()) - _NARROWER, 0), SCALES - 1)
    last = min(int(scales.max()) + _WIDER, SCALES)
    bits, shares = (
        whole[:, first : max(first + 1, last), : alphabet.size].reshape(-1, alphabet.size)
        for whole in _whole_bits(*_way(alphabet))
    )
    return first, bits, shares


def _best(counts: Counts, is_free: Mask, bits: Costs, shares: Costs) -> npt.NDArray[np.intp]:
    """Where the free tokens take the fewest bits, given that they are free."""
    free = np.where(is_free, counts, 0).astype(np.float64)
    whole = is_free.astype(np.float64) @ shares.T
    cost = free @ bits.T + free.sum(1, keepdims=True) * np.log2(whole + _TINY)
    return np.asarray(np.argmin(cost, 1))


def _sticking(counts: Counts, shares: Costs, is_free: Mask) -> Mask:
    """Tokens that occur so much more often than the shape says that naming them pays."""
    free = np.where(is_free, counts, 0).astype(np.float64)
    share = np.where(is_free, shares, 0)
    whole = np.maximum(share.sum(1, keepdims=True), _TINY)
    expected = np.maximum(free.sum(1, keepdims=True) * share / whole, 0.5)
    gain = free * np.log2(np.maximum(free, 1e-9) / expected)
    gain -= np.where(is_free, free - expected, 0) * np.log2(np.e)
    order = np.argsort(-gain, axis=1, kind="stable")
    is_best = _back(order, np.broadcast_to(np.arange(gain.shape[1]) < _MOST_SPIKES - 1, gain.shape))
    found: Mask = is_best & (gain > _SPIKE_BITS) & (free > expected)
    return found


def _with_spikes(counts: Counts, is_spike: Mask, is_free: Mask) -> Counts:
    """Frequencies of spikes; those of free tokens are what they leave, at least 1 for each."""
    own = np.where(is_spike, counts, 0).astype(np.float64)
    others = np.where(is_free, counts, 0).sum(1) + 1e-9
    free = is_free.sum(1)
    both = np.column_stack([own, np.where(free > 0, others, 0)])
    found = _rounded(both, np.column_stack([is_spike, free > 0]))
    for row in np.flatnonzero(found[:, -1] < free):
        while (missing := int(free[row] - found[row, -1])) > 0:
            largest = int(np.argmax(found[row, :-1]))
            taken = min(missing, int(found[row, largest]) - 1)
            found[row, largest] -= taken
            found[row, -1] += taken
    return found[:, :-1]
