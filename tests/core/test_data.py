from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from lilliput.core import progress
from lilliput.core.data import length_of


class Stream(IterableDataset[Any]):
    """Six examples, and no word of how many."""

    def __iter__(self) -> Iterator[int]:
        return iter(range(6))


@pytest.mark.parametrize(
    ("loader", "length"),
    [
        ([], 0),
        ([1, 2, 3], 3),
        (DataLoader(TensorDataset(torch.zeros(7)), 2), 4),
        (DataLoader(Stream(), 2), None),
        (iter([1]), None),
    ],
)
def test_the_length_of_a_loader_is_told_or_unknown(loader: Any, length: int | None) -> None:
    assert length_of(loader) == length


def test_a_loader_of_unknown_length_is_tracked() -> None:
    class Reporter:
        def __init__(self) -> None:
            self.totals: list[float | None] = []

        def start(self, description: str, total: float | None, /) -> int:
            self.totals.append(total)
            return 0

        def update(self, task: int, done: int, note: str, /) -> None: ...

        def stop(self, task: int, /) -> None: ...

    reporter = Reporter()
    token = progress._active.set(reporter)
    try:
        batches = list(progress.track(DataLoader(Stream(), 2), "reading"))
    finally:
        progress._active.reset(token)
    assert torch.cat(batches).tolist() == list(range(6))
    assert reporter.totals == [None]
