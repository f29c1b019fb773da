"""The process in which files are measured: `python -m lilliput.measure.worker`.

It reads requests from stdin and answers on stdout (see `frames`), until stdin ends.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from lilliput.core import LilliputError
from lilliput.export import Predictor, load
from lilliput.measure.frames import Array, receive, send
from lilliput.measure.inputs import check_inputs
from lilliput.measure.latency import interleave
from lilliput.measure.memory import MemoryRise

__all__ = ["main"]

_FIRST_RUNS = 3

Reply = tuple[dict[str, Any], tuple[Array, ...]]


class _Worker:
    """One file, loaded, and what may be asked about it."""

    def __init__(self) -> None:
        self.predictor: Predictor | None = None
        self.path = Path()

    def answer(self, request: dict[str, Any], arrays: tuple[Array, ...]) -> Reply:
        kinds = {"open": self.open, "run": self.run, "time": self.time}
        return kinds[request["kind"]](request, arrays)

    def open(self, request: dict[str, Any], arrays: tuple[Array, ...]) -> Reply:
        """Loads the file and runs one example some times; gives the rise of memory meanwhile."""
        self.path = Path(request["path"])
        with MemoryRise() as rise:
            self.predictor = load(self.path, request["format"], request["threads"])
            check_inputs(self.path, self.predictor.inputs, arrays)
            for _ in range(_FIRST_RUNS):
                self.predictor(arrays)
        names = [spec.name for spec in self.predictor.outputs]
        return {"outputs": names, "peak_ram_bytes": rise.peak_bytes, "runs": _FIRST_RUNS}, ()

    def run(self, _: dict[str, Any], arrays: tuple[Array, ...]) -> Reply:
        """Runs a batch."""
        assert self.predictor is not None  # noqa: S101
        check_inputs(self.path, self.predictor.inputs, arrays)
        return {}, tuple(np.asarray(output) for output in self.predictor(arrays))

    def time(self, request: dict[str, Any], arrays: tuple[Array, ...]) -> Reply:
        """Times files, and a PyTorch archive, in turns; `arrays` holds the examples in a row."""
        self.predictor = None
        _pin(request["threads"])
        count = request["inputs"]
        examples = [arrays[start : start + count] for start in range(0, len(arrays), count)]
        systems = [
            _calls(_loaded(Path(path), request, examples[0]), examples) for path in request["paths"]
        ]
        if request["eager"]:
            systems.append(_eager(Path(request["eager"]), request["threads"], examples))
        return {}, (interleave(systems, request["seconds"]),)


def _loaded(path: Path, request: dict[str, Any], example: tuple[Array, ...]) -> Predictor:
    predictor = load(path, request["format"], request["threads"])
    check_inputs(path, predictor.inputs, example)
    return predictor


def _calls(predictor: Predictor, examples: list[tuple[Array, ...]]) -> Callable[[int], object]:
    return lambda turn: predictor(examples[turn % len(examples)])


def _eager(path: Path, threads: int, examples: list[tuple[Array, ...]]) -> Callable[[int], object]:
    import torch

    torch.set_num_threads(threads)
    module = torch.export.load(path).module()
    tensors = [tuple(torch.from_numpy(array) for array in example) for example in examples]

    def call(turn: int) -> object:
        with torch.inference_mode():
            return module(*tensors[turn % len(tensors)])

    return call


def _pin(threads: int) -> None:
    """Keeps this process on the least busy cores: moving between cores costs time."""
    if not hasattr(os, "sched_setaffinity"):
        return
    import psutil

    allowed = sorted(os.sched_getaffinity(0))
    busy = psutil.cpu_percent(interval=0.1, percpu=True)
    load_of = {core: busy[core] if core < len(busy) else 0.0 for core in allowed}
    os.sched_setaffinity(0, sorted(allowed, key=lambda core: load_of[core])[:threads])


def _own_streams() -> tuple[BinaryIO, BinaryIO]:
    """Takes stdin and stdout for frames; whatever a runtime prints goes to stderr."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    return requests, replies


def main() -> None:
    """Answers until there are no more requests."""
    requests, replies = _own_streams()
    worker = _Worker()
    while True:
        try:
            request, arrays = receive(requests)
        except EOFError:
            return
        try:
            reply, results = worker.answer(request, arrays)
        except LilliputError as error:
            reply, results = {"error": type(error).__name__, "message": str(error)}, ()
        except Exception as error:  # noqa: BLE001  the other process raises it again, as MeasureError
            message = f"{type(error).__name__}: {error}"[:10_000]
            reply, results = {"error": "Exception", "message": message}, ()
        send(replies, reply, results)


if __name__ == "__main__":
    main()
