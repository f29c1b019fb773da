"""What the network is for: the data, the loss and the metric the user brings."""

import contextlib
import copy
import hashlib
import itertools
import random
import re
from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from lilliput.core.data import length_of
from lilliput.core.errors import TaskError
from lilliput.core.progress import track

__all__ = ["Metric", "Split", "Task", "as_inputs"]

Split = Literal["train", "validation", "test"]


@runtime_checkable
class Metric(Protocol):
    """What torchmetrics' metrics look like; any object of this shape will do."""

    @property
    def higher_is_better(self) -> bool | None: ...

    def update(self, outputs: Any, labels: Any, /) -> None: ...

    def compute(self) -> Any: ...


def first_two(batch: Any) -> tuple[Any, Any]:
    """Splits a batch that already is `(inputs, labels)`."""
    try:
        inputs, labels = batch
    except (TypeError, ValueError) as error:
        raise TaskError(
            f"a batch must be (inputs, labels), got {type(batch).__name__}; "
            "give Task(split=...) a function that takes such a batch apart"
        ) from error
    return inputs, labels


def as_inputs(inputs: Any) -> tuple[Tensor, ...]:
    """The arguments of `forward`, in order, as a tuple.

    Raises:
        TaskError: Something else than tensors stands where the inputs should be.
    """
    if isinstance(inputs, Tensor):
        return (inputs,)
    if isinstance(inputs, list | tuple) and all(isinstance(x, Tensor) for x in inputs):
        return tuple(inputs)
    found = sorted({type(x).__name__ for x in tree_leaves(inputs)}) or ["nothing"]
    raise TaskError(
        f"inputs must be a tensor or a tuple of tensors, got {type(inputs).__name__} of "
        f"{', '.join(found)}; give Task(split=...) a function that maps a batch to (inputs, labels)"
    )


@dataclass(frozen=True, eq=False)
class Task:
    """Data, loss and metric.

    Args:
        name: Recorded in a model's history in place of the data.
        train: Batches to learn and calibrate from; re-iterable. May be augmented and shuffled.
        validation: Batches on which every choice is made.
        test: Batches read once, for the report; None where there are none.
        loss: Maps `(outputs, labels)` to a scalar tensor.
        metric: Has `update(outputs, labels)`, `compute()` and `higher_is_better`.
        split: Maps a batch to `(inputs, labels)`; by default a batch is that pair.
        fingerprint: Identifies the data; by default a hash of first and last batches and lengths.

    Raises:
        TaskError: The metric is a class.
    """

    name: str
    train: Iterable[Any] = field(repr=False)
    validation: Iterable[Any] = field(repr=False)
    loss: Callable[[Any, Any], Tensor]
    metric: Metric
    test: Iterable[Any] | None = field(default=None, repr=False)
    split: Callable[[Any], tuple[Any, Any]] = first_two
    fingerprint: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.metric, type):
            name = self.metric.__name__
            raise TaskError(
                f"the metric of task {self.name!r} is the class {name}; pass an instance, {name}()"
            )

    def batches(self, split: Split) -> Iterator[tuple[tuple[Tensor, ...], Any]]:
        """Gives `(inputs, labels)` of a split, inputs as a tuple in the order of `forward`.

        Raises:
            TaskError: The split is missing, or yields no batch.
        """
        loader = getattr(self, split)
        if loader is None:
            raise TaskError(f"task {self.name!r} has no {split} data; pass Task({split}=...)")
        empty = True
        for batch in loader:
            empty = False
            inputs, labels = self.split(batch)
            yield as_inputs(inputs), labels
        if empty:
            raise TaskError(
                f"the {split} loader of task {self.name!r} yields no batch; "
                "is it an iterator that was already used up?"
            )

    def first(self, split: Split, samples: int) -> list[tuple[tuple[Tensor, ...], Any]]:
        """The first batches `(inputs, labels)` of a split that hold `samples` examples together.

        Drawn with fixed seeds, so that a split that shuffles or augments gives the same ones to
        every process.

        Raises:
            TaskError: The split is missing, or yields no batch.
        """
        found: list[tuple[tuple[Tensor, ...], Any]] = []
        seen = 0
        with _seeded():
            for batch in self.batches(split):
                found.append(batch)
                seen += len(batch[0][0])
                if seen >= samples:
                    break
        return found

    def calibration(self, samples: int = 512) -> Iterator[tuple[Tensor, ...]]:
        """Gives batches of inputs from `train`, `samples` examples in all, as `first` draws them.

        Raises:
            TaskError: There is no training data.
        """
        left = samples
        for inputs, _ in self.first("train", samples):
            yield tuple(x[:left] for x in inputs)
            left -= len(inputs[0])

    def fresh_metric(self) -> Any:
        """A copy of the metric with nothing counted yet."""
        metric = copy.deepcopy(self.metric)
        if callable(getattr(metric, "reset", None)):
            metric.reset()  # type: ignore[attr-defined]
        return metric

    @torch.no_grad()
    def score(self, module: nn.Module, split: Split = "validation") -> float:
        """What the metric says of a network, in the mode that it is in, on all of a split."""
        metric = self.fresh_metric()
        count = length_of(getattr(self, split))
        for inputs, labels in track(self.batches(split), f"score on {split}", count):
            metric.update(module(*inputs), labels)
        return float(metric.compute())

    @property
    def higher_is_better(self) -> bool:
        """Which way the metric gets better; one that does not say is taken as higher."""
        return self.metric.higher_is_better is not False

    def identity(self) -> str:
        """The fingerprint given, or a hash of the data's ends and lengths."""
        if self.fingerprint:
            return self.fingerprint
        digest = hashlib.sha256(self.name.encode())
        for name in ("train", "validation", "test"):
            loader = getattr(self, name)
            for leaf in tree_leaves(list(_ends(loader)) if loader is not None else []):
                digest.update(_bytes(leaf))
        return digest.hexdigest()


def _ends(loader: Iterable[Any]) -> Iterator[Any]:
    """Length, first and last item, read with fixed seeds so that augmentation repeats itself."""
    source: Any = getattr(loader, "dataset", loader)
    length = len(source) if isinstance(source, Sized) else -1
    yield length
    with _seeded():
        if length > 0 and hasattr(source, "__getitem__"):
            yield source[0]
            yield source[length - 1]
        else:
            yield from itertools.islice(iter(loader), 1)


@contextlib.contextmanager
def _seeded() -> Iterator[None]:
    """Fixed random numbers inside, and outside as if nothing had been drawn."""
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            random.seed(0)
            np.random.seed(0)  # noqa: NPY002
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002


def _bytes(leaf: Any) -> bytes:
    """What a piece of data says, the same in every process."""
    if isinstance(leaf, Tensor):
        flat = leaf.detach().cpu().contiguous().view(-1).view(torch.uint8)
        return str((leaf.dtype, tuple(leaf.shape))).encode() + bytes(flat.numpy())
    if hasattr(leaf, "__array__") or hasattr(leaf, "__array_interface__"):  # numpy, PIL
        array = np.asarray(leaf)
        return str((array.dtype, array.shape)).encode() + bytes(array.tobytes())
    # an object without a text of its own prints its address, which no other process repeats
    return re.sub(r" at 0x[0-9a-f]+", "", repr(leaf)).encode()
