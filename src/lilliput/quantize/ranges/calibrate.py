"""Ranges of all quantizers from data: weights by their rows, activations by what flows past."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, fx
from torch.fx import Node

from lilliput.core import PassError, Task
from lilliput.core.progress import track
from lilliput.graph import owner_of
from lilliput.quantize.numbers.fake import FakeQuantize
from lilliput.quantize.placing.insert import Inserted
from lilliput.quantize.ranges.histogram import Histogram
from lilliput.quantize.ranges.observe import Observer, weight_range

__all__ = ["calibrate", "set_weights"]

_LARGEST_BIAS = 2**30
"""Biases are 32-bit integers whose scale is input scale times weight scale; half is headroom."""


def calibrate(inserted: Inserted, task: Task, observer: Observer, samples: int) -> None:
    """Sets the range of every quantizer, which then acts.

    Args:
        inserted: A network whose quantizers do not act yet; changed in place.
        task: Whose training inputs are looked at, without labels.
        observer: Chooses ranges.
        samples: How many examples at most.

    Raises:
        PassError: An activation or a weight is NaN or infinite; names its place.
    """
    module = inserted.model.module
    assert isinstance(module, fx.GraphModule)  # noqa: S101
    module.eval()
    recorder = _Recorder(module, inserted.observed)
    with torch.no_grad():
        for inputs in track(task.calibration(samples), "calibrate"):
            recorder.run(*inputs)
        for name, histogram in recorder.seen.items():
            quantizer = _quantizer(module, name)
            low, high = observer.range(histogram, quantizer.type)
            if low == high == 0.0:  # any step does, but runtimes refuse those near the least float
                high = 1.0
            quantizer.set_range(torch.tensor([low]), torch.tensor([high]))
    set_weights(inserted, observer)


@torch.no_grad()
def set_weights(inserted: Inserted, observer: Observer) -> None:
    """Sets the range of every weight's quantizer, which then acts.

    Args:
        inserted: Where activations are quantized, their ranges are set already.
        observer: Chooses ranges.

    Raises:
        PassError: A weight is NaN or infinite; names it.
    """
    module = inserted.model.module
    assert isinstance(module, fx.GraphModule)  # noqa: S101
    for node in inserted.operators:
        _set_weight(module, node, observer)
    for node in inserted.tables:
        quantizer, table = _weight_of(module, node.args[0])
        quantizer.set_range(*weight_range(quantizer.rows(table), quantizer.type, observer))


class _Recorder(fx.Interpreter):
    """Runs the network, and counts what comes to each quantizer."""

    def __init__(self, module: fx.GraphModule, observed: tuple[Node, ...]) -> None:
        super().__init__(module)
        self.extra_traceback = False
        self.observed = frozenset(observed)
        self.seen = {str(node.target): Histogram() for node in observed}

    def run_node(self, n: Node) -> Any:
        if n in self.observed:
            source = n.args[0]
            assert isinstance(source, Node)  # noqa: S101
            try:
                self.seen[str(n.target)].add(self.env[source])
            except ValueError as error:
                where = owner_of(source) or source.name
                raise PassError(
                    f"calibration: {error} at {where!r}; is one in the inputs, or in a weight?"
                ) from error
        return super().run_node(n)


def _set_weight(module: fx.GraphModule, node: Node, observer: Observer) -> None:
    """Gives the weight of an operator its range."""
    source, call, *rest = node.args
    assert isinstance(source, Node)  # noqa: S101
    assert isinstance(call, Node)  # noqa: S101
    quantizer, weight = _weight_of(module, call)
    bias = _tensor(module, rest[0] if rest else None)
    before = _quantizer_before(module, source)
    if bias is not None and before is not None:
        scale = before.scale
        least = bias.abs() / scale / _LARGEST_BIAS * quantizer.type.high
        if quantizer.axis is None:
            least = least.amax().view(1)
        least = least.repeat_interleave(len(quantizer.scale) // len(least))
        quantizer.least.copy_(torch.maximum(quantizer.least, least))
    quantizer.set_range(*weight_range(quantizer.rows(weight), quantizer.type, observer))


def _weight_of(module: fx.GraphModule, call: Any) -> tuple[FakeQuantize, Float[Tensor, "..."]]:
    """A weight's quantizer and the weight."""
    assert isinstance(call, Node)  # noqa: S101
    weight = _tensor(module, call.args[0])
    assert weight is not None  # noqa: S101
    if not weight.isfinite().all():
        raise PassError(f"the weight {call.args[0]} is NaN or infinite")
    return _quantizer(module, str(call.target)), weight


def _quantizer_before(module: fx.GraphModule, source: Node) -> FakeQuantize | None:
    """The one whose integers an operator reads, through dropout and lists of tensors."""
    while source.all_input_nodes and "is_weight" not in source.meta:
        part = module.get_submodule(str(source.target)) if source.op == "call_module" else None
        if isinstance(part, FakeQuantize):
            return part
        source = source.all_input_nodes[0]
    return None


def _quantizer(module: fx.GraphModule, name: str) -> FakeQuantize:
    quantizer = module.get_submodule(name)
    assert isinstance(quantizer, FakeQuantize)  # noqa: S101
    return quantizer


def _tensor(module: fx.GraphModule, node: Any) -> Float[Tensor, "..."] | None:
    """A parameter or buffer; None for what the network computes."""
    if not isinstance(node, Node) or node.op != "get_attr":
        return None
    owner, _, leaf = str(node.target).rpartition(".")
    value: Tensor = getattr(module.get_submodule(owner), leaf)
    return value.detach().float()
