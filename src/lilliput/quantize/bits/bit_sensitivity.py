"""How far a network's outputs move when one layer's weight has fewer bits."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from lilliput.core import IntegerType, Model, QuantizationRules, Task
from lilliput.core.progress import track
from lilliput.graph import capture, fold_batch_norm, operator_of, peak_memory, trace
from lilliput.quantize.beside.distance import Distance, distance_of
from lilliput.quantize.beside.lockstep import small_batches
from lilliput.quantize.beside.replay import parameter_of
from lilliput.quantize.bits.bit_estimate import estimated
from lilliput.quantize.bits.lowered import Lowered, Walk, lower_weights, parameters_of
from lilliput.quantize.bits.precision import Precision
from lilliput.quantize.bits.widths import Widths, widths_of
from lilliput.quantize.placing.insert import Inserted, insert, layer_of

__all__ = ["BitSensitivity", "bit_sensitivity", "estimate_bit_sensitivity"]


@dataclass(frozen=True)
class BitSensitivity:
    """What each layer's weight loses at each width, all other layers being float.

    Args:
        losses: By layer and bits.
        counts: How many numbers each layer's weight has.
        widths: How wide each layer's weight is in the file and in memory, by its bits.
        quantity: What is lost: `KL to the float softmax` in nats for class scores,
            `relative squared error` for other outputs.
        activation_bytes: The most of one example's activations that is live at once, as integers,
            before operators are merged.
        fixed_bytes: Of tables, and of weights that stay float, whatever the layers' bits.
    """

    losses: Mapping[str, Mapping[int, float]]
    counts: Mapping[str, int]
    widths: Mapping[str, Widths]
    quantity: str
    activation_bytes: int = 0
    fixed_bytes: int = 0

    def average_bits(self, bits: Mapping[str, int]) -> float:
        """Bits of a weight in the mean, whatever the file stores them in."""
        total = sum(self.counts[layer] * width for layer, width in bits.items())
        return total / sum(self.counts[layer] for layer in bits)

    def weight_bytes(self, bits: Mapping[str, int]) -> int:
        """Bytes of these layers' weights in the file, without scales and biases."""
        return sum(
            _bytes(self.counts[layer], self.widths[layer].stored[width])
            for layer, width in bits.items()
        )

    def ram_bytes(self, bits: Mapping[str, int]) -> int:
        """Bytes of these layers' weights as the runtime holds them, without scales and biases."""
        return sum(
            _bytes(self.counts[layer], self.widths[layer].run[width])
            for layer, width in bits.items()
        )


def bit_sensitivity(
    model: Model,
    task: Task,
    rules: QuantizationRules,
    bits: Sequence[int] = (8, 4, 3, 2),
    samples: int = 256,
) -> BitSensitivity:
    """Lowers one layer at a time, rounded as `RoundSecondOrder` would, and compares the outputs.

    Weights are rounded by what `samples` training inputs show, and outputs compared on as many
    validation inputs; labels are not looked at. Class scores are compared by the KL divergence of
    their softmax, other outputs by their squared error as a share of their mean square.

    Args:
        model: What to quantize; it is not changed.
        task: Its training and validation inputs are looked at.
        rules: Of the target's runtime.
        bits: Widths to try, 2 to 16.
        samples: How many examples of each split.

    Raises:
        ValueError: A width is out of range, there is none, or `samples` is less than 1.
        UnsupportedError: The network has no operator that the rules quantize.
        TraceError: The network cannot be traced.

    Source: Cai et al. 2020, "ZeroQ", section 3.2.
    """
    return _sensitivity(_prepared(model, rules, bits, samples), task, samples, _measured)


def estimate_bit_sensitivity(
    model: Model,
    task: Task,
    rules: QuantizationRules,
    bits: Sequence[int] = (8, 4, 3, 2),
    samples: int = 256,
) -> BitSensitivity:
    """Gives the second-order term of what `bit_sensitivity` measures, in a fraction of the time.

    It is `E[(v'J e)^2]`, where `e` is the error of the layer's own output, `J` the derivative of
    the network's output by it, and `v` is drawn so that its covariance is the Hessian of the
    distance. It takes one run of each layer instead of one of the whole network for each layer and
    width. Where two bits do much harm it says less than there is.

    Arguments and errors are those of `bit_sensitivity`.

    Source: Dong et al. 2020, "HAWQ-V2", section 3, with the Gauss-Newton matrix (Martens 2020, "New
    Insights and Perspectives on the Natural Gradient Method", section 9) for the Hessian, and the
    error as it is for its norm.
    """
    return _sensitivity(_prepared(model, rules, bits, samples), task, samples, estimated)


@dataclass(frozen=True, eq=False)
class _Prepared:
    """A network whose quantizers do not act, the float one it came from, and what to try."""

    model: Model
    inserted: Inserted
    rules: QuantizationRules
    widths: tuple[int, ...]


Losses = dict[str, dict[int, float]]
Batches = Sequence[tuple[Tensor, ...]]
Method = Callable[[Inserted, Mapping[str, Mapping[int, Lowered]], Batches, Distance], Losses]


def _prepared(
    model: Model, rules: QuantizationRules, bits: Sequence[int], samples: int
) -> _Prepared:
    if not bits:
        raise ValueError("bits must name one width or more, got none")
    if samples < 1:
        raise ValueError(f"samples must be 1 or more, got {samples}")
    widths = sorted({IntegerType(width).bits for width in bits}, reverse=True)
    return _Prepared(model, insert(model, rules, Precision()), rules, tuple(widths))


def _sensitivity(prepared: _Prepared, task: Task, samples: int, method: Method) -> BitSensitivity:
    inserted = prepared.inserted
    module = inserted.model.module
    assert isinstance(module, fx.GraphModule)  # noqa: S101
    shown = small_batches(task.calibration(samples))
    lowered = lower_weights(inserted, shown, prepared.widths)
    distance = distance_of(prepared.model, task)
    losses = method(inserted, lowered, small_batches(_validation(task, samples)), distance)
    counts = {layer_of(node): parameters_of(module, node)[0].numel() for node in inserted.operators}
    widths = {
        layer_of(node): widths_of(operator_of(node), prepared.widths, prepared.rules)
        for node in inserted.operators
    }
    return BitSensitivity(
        losses,
        counts,
        widths,
        distance.quantity,
        _activation_bytes(prepared.model, prepared.rules),
        _fixed_bytes(inserted, prepared.rules),
    )


def _activation_bytes(model: Model, rules: QuantizationRules) -> int:
    folded, _ = fold_batch_norm(capture(model, keeps_masks=False))
    floats = [p for p in model.module.parameters() if p.is_floating_point()]
    width = 8 * max(p.element_size() for p in floats)
    return -(-peak_memory(trace(folded)).peak_bytes * rules.activation.bits // width)


def _fixed_bytes(inserted: Inserted, rules: QuantizationRules) -> int:
    """Vectors are left out, as biases and scales are."""
    module = inserted.model.module
    assert isinstance(module, fx.GraphModule)  # noqa: S101
    chosen = {parameter_of(node.args[1]) for node in inserted.operators}
    tables = {parameter_of(node.args[0]) for node in inserted.tables}
    total = 0
    for name, weight in module.named_parameters():
        if name in tables:
            total += _bytes(weight.numel(), rules.weight.bits)
        elif name not in chosen and weight.dim() > 1:
            total += weight.numel() * weight.element_size()
    return total


def _bytes(count: int, width: int) -> int:
    return -(-count * width // 8)


def _validation(task: Task, samples: int) -> Iterator[tuple[Tensor, ...]]:
    left = samples
    for inputs, _ in task.first("validation", samples):
        yield tuple(x[:left] for x in inputs)
        left -= len(inputs[0])


def _measured(
    inserted: Inserted,
    lowered: Mapping[str, Mapping[int, Lowered]],
    batches: Batches,
    distance: Distance,
) -> Losses:
    """Runs the rest of the network behind each layer, for each width."""
    module = inserted.model.module
    assert isinstance(module, fx.GraphModule)  # noqa: S101
    walk = Walk(module, batches)
    with torch.no_grad():
        wanted = [module(*batch) for batch in batches]
    losses: Losses = {}
    stops = track(walk.before(inserted.operators), "bit sensitivity", len(inserted.operators))
    for node, states in stops:
        if layer_of(node) in losses:
            continue
        losses[layer_of(node)] = {}
        for width, parameters in lowered[layer_of(node)].items():
            with torch.no_grad(), parameters.put(module, node):
                far = [
                    distance(walk.rest(state), right)
                    for state, right in zip(states, wanted, strict=True)
                ]
            losses[layer_of(node)][width] = float(torch.cat(far).mean())
    return losses
