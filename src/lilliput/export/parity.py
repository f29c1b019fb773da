"""Whether a file says what its network says, and where it stops doing so."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves

from lilliput.core import Artifact, Measurement, Model, UnsupportedError
from lilliput.core.modes import in_eval_mode
from lilliput.export.format import Array, Format
from lilliput.graph import capture, operator_of, owner_of

__all__ = ["LayerParity", "Parity", "compare", "compare_tensors"]


@dataclass(frozen=True)
class LayerParity:
    """How far a layer's output in the file is from the network's.

    Args:
        name: The module, and the operator where the module runs several: `layer1.0 (add)`.
        difference: Largest, as a share of the range of the network's values.
    """

    name: str
    difference: float


@dataclass(frozen=True)
class Parity:
    """How far a file is from its network.

    Args:
        difference: Largest difference of an output, as a share of the range of that output.
        cosine: Smallest cosine between an output of the file and of the network, over all examples.
        samples: How many examples were compared.
        tolerance: From which difference on layers were compared too.
        layers: Compared where `difference` exceeds `tolerance`, in the order they run; empty where
            the runtime does not show what is inside a file.
        culprit: The first layer from which on nothing agrees; "" where all is well, or not known.
    """

    difference: float
    cosine: float
    samples: int
    tolerance: float
    layers: tuple[LayerParity, ...] = ()
    culprit: str = ""

    @property
    def is_close(self) -> bool:
        """Whether no output differs by more than the tolerance."""
        return self.difference <= self.tolerance

    @property
    def measurement(self) -> Measurement:
        """The difference as a row of a variant."""
        return Measurement(
            "parity", self.difference, "1", "measured", "host CPU, 1 thread", self.samples
        )


def compare(
    model: Model, artifact: Artifact, inputs: tuple[Tensor, ...], format_: Format, tolerance: float
) -> Parity:
    """Runs both on the same examples; `lilliput.export.parity` finds the format."""
    file = format_.load(artifact.path, 1)(tuple(x.numpy() for x in inputs))
    network = _outputs(model.module, inputs)
    pairs = list(zip(network, file, strict=True))
    difference = max(_difference(ours, theirs) for ours, theirs in pairs)
    cosine = min(_cosine(ours, theirs) for ours, theirs in pairs)
    parity = Parity(difference, cosine, len(inputs[0]), tolerance)
    if parity.is_close:
        return parity
    one = tuple(x[:1] for x in inputs)
    try:
        inside = format_.intermediates(artifact.path, tuple(x.numpy() for x in one))
    except UnsupportedError:
        return parity  # by how much is known, and where is not
    layers, culprit = _layers(model, one, inside, tolerance)
    return Parity(difference, cosine, len(inputs[0]), tolerance, layers, culprit)


def compare_tensors(
    model: Model, artifact: Artifact, inputs: tuple[Tensor, ...], format_: Format
) -> dict[str, float]:
    """How far what each quantizer gives in the file is from the network's.

    Without what was fused, and empty where the runtime does not show what is inside.
    """
    captured = capture(model).module
    assert isinstance(captured, fx.GraphModule)  # noqa: S101
    one = tuple(x[:1] for x in inputs)
    try:
        inside = format_.intermediates(artifact.path, tuple(x.numpy() for x in one))
    except UnsupportedError:
        return {}
    recorder = _Recorder(captured)
    with torch.no_grad():
        recorder.run(*one)
    found: dict[str, float] = {}
    for node, value in recorder.values.items():
        if node.op == "call_module":
            likely = [_closest(value, array) for array in inside if array.size == value.size]
            name, nearest = str(node.target), min(likely, default=float("inf"))
            found[name] = max(nearest, found.get(name, 0.0))
    return {name: difference for name, difference in found.items() if np.isfinite(difference)}


def _outputs(module: nn.Module, inputs: tuple[Tensor, ...]) -> list[Array]:
    with in_eval_mode(module), torch.no_grad():
        leaves = tree_leaves(module(*inputs))
    return [leaf.numpy() for leaf in leaves]


def _difference(ours: Array, theirs: Array) -> float:
    """Largest, as a share of the range of `ours`; infinite where `theirs` is not finite."""
    a, b = ours.astype(np.float64), theirs.astype(np.float64)
    if not np.isfinite(b).all():
        return float("inf")
    return float(np.abs(a - b).max() / max(np.ptp(a), np.finfo(np.float32).tiny))


def _cosine(ours: Array, theirs: Array) -> float:
    a, b = ours.astype(np.float64).ravel(), theirs.astype(np.float64).ravel()
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / norms if norms else float(np.array_equal(a, b))


def _layers(
    model: Model, inputs: tuple[Tensor, ...], inside: Sequence[Array], tolerance: float
) -> tuple[tuple[LayerParity, ...], str]:
    """Looks for each layer's output among the file's activations.

    Converters rename, fuse and transpose, so an output is looked for by its values, in the layout
    of the network or with channels last. What was fused away is nowhere to be found; but what
    comes after it is. So they part at the first layer that neither agrees itself nor leads to one
    that does.
    """
    captured = capture(Model(model.module, inputs)).module
    assert isinstance(captured, fx.GraphModule)  # noqa: S101
    recorder = _Recorder(captured)
    with torch.no_grad():
        recorder.run(*inputs)
    found: dict[fx.Node, float] = {}
    for node, value in recorder.values.items():
        likely = [array for array in inside if array.size == value.size]
        found[node] = min((_closest(value, array) for array in likely), default=float("inf"))
    agrees: set[fx.Node] = set()
    for node in reversed(captured.graph.nodes):
        if found.get(node, float("inf")) <= tolerance or agrees.intersection(node.users):
            agrees.add(node)
    parted = (_name(node) for node in found if node not in agrees)
    layers = tuple(LayerParity(_name(node), difference) for node, difference in found.items())
    return layers, next(parted, "")


class _Recorder(fx.Interpreter):
    """Keeps every activation with more than one value."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.values: dict[fx.Node, Array] = {}

    def run_node(self, n: fx.Node) -> object:
        value = super().run_node(n)
        is_call = n.op in {"call_function", "call_module"}
        if is_call and isinstance(value, Tensor) and value.is_floating_point() and n.args:
            depends = any(i.op == "placeholder" or i in self.values for i in n.all_input_nodes)
            if depends and value.numel() > 1:
                self.values[n] = value.numpy()
        return value


def _closest(ours: Array, theirs: Array) -> float:
    candidates = [theirs.reshape(ours.shape)] if theirs.ndim != ours.ndim else []
    if theirs.shape == ours.shape:
        candidates.append(theirs)
    if theirs.ndim == ours.ndim == 4:
        last = theirs.transpose(0, 3, 1, 2)
        candidates += [last] if last.shape == ours.shape else []
    return min((_difference(ours, array) for array in candidates), default=float("inf"))


def _name(node: fx.Node) -> str:
    """The module and the operator; a quantizer counts as the operator it follows."""
    before = node.args[0] if node.args else None
    if node.op == "call_module" and not owner_of(node) and isinstance(before, fx.Node):
        return _name(before)
    owner, operator = owner_of(node), operator_of(node)
    if node.op == "call_module":
        return str(node.target)
    return f"{owner or node.name} ({operator})" if operator else node.name
