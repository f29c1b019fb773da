"""The state of a folded network as its class takes it, BatchNorm and all."""

import torch
from torch import Tensor, fx, nn
from torch.fx import Node

from lilliput.core import Model, UnsupportedError
from lilliput.graph.capture import capture
from lilliput.graph.fold_operators import bias_name, can_take
from lilliput.graph.masks import without_masks

__all__ = ["unfolded_state"]

_Norm = nn.BatchNorm1d | nn.BatchNorm2d


def unfolded_state(folded: Model, original: Model) -> dict[str, Tensor]:
    """Gives a folded network's tensors under the names that the original's class has for them.

    BatchNorm that was folded becomes one that only shifts: its mean is 0, its variance and epsilon
    add up to 1, its weight is 1, and its bias is that of the layer before it, where the class has
    no other place for it. Bit for bit it is then `x + bias`, and outputs differ only by where a
    bias is added. What was not folded stays.

    Args:
        folded: What passes made of the original, its layers as many and as wide.
        original: The network as its class has it, with BatchNorm; not changed.

    Returns:
        By name, in the class's order, what its `load_state_dict` takes.

    Raises:
        UnsupportedError: The class has a tensor that the folded network has not, or of another
            shape.
        TraceError: The original cannot be traced.
    """
    original = without_masks(original)
    wanted, found = original.module.state_dict(), folded.module.state_dict()
    norms = {
        name: part
        for name, part in original.module.named_modules()
        if isinstance(part, _Norm) and f"{name}.running_mean" in wanted.keys() - found.keys()
    }
    state = dict(found)
    if norms:
        biases = _biases(original)
        for name, norm in norms.items():
            bias = biases.get(name, "")
            if bias in found:
                shift = None if bias in wanted else found[bias]
                state |= {f"{name}.{leaf}": x for leaf, x in _shifting(norm, shift).items()}
    for name, value in wanted.items():
        _check(name, value, state.get(name))
    return {name: state[name] for name in wanted}


def _biases(original: Model) -> dict[str, str]:
    """By BatchNorm, the name that the bias before it has, or would have."""
    module = capture(original).module
    assert isinstance(module, fx.GraphModule)  # noqa: S101
    return {
        str(node.target): _bias_of(module, node.args[0])
        for node in module.graph.find_nodes(op="call_module")
        if isinstance(module.get_submodule(str(node.target)), _Norm)
        and isinstance(node.args[0], Node)
    }


def _bias_of(module: fx.GraphModule, before: Node) -> str:
    """Of a layer, or of an operator with a weight of the network; "" of anything else."""
    if before.op == "call_module":
        return f"{before.target}.bias"
    return bias_name(before) if can_take(module, before) else ""


def _shifting(norm: _Norm, shift: Tensor | None) -> dict[str, Tensor]:
    """The state of a norm that only shifts, or does nothing."""
    mean = norm.running_mean
    assert mean is not None  # noqa: S101  only those with statistics fold
    shift = torch.zeros_like(mean) if shift is None else shift.to(mean)
    state = {
        "running_mean": torch.zeros_like(mean),
        "running_var": torch.ones_like(mean) - norm.eps,
    }
    if norm.affine:
        state |= {"weight": torch.ones_like(mean), "bias": shift}
    else:
        state["running_mean"] = -shift
    if norm.num_batches_tracked is not None:
        state["num_batches_tracked"] = norm.num_batches_tracked
    return state


def _check(name: str, wanted: Tensor, found: Tensor | None) -> None:
    if found is None:
        raise UnsupportedError(
            f"the class has {name!r}, and the network that was made of it has not; its own state "
            "opens in the network that the passes gave"
        )
    if found.shape != wanted.shape:
        raise UnsupportedError(
            f"{name!r} has shape {list(found.shape)} and in the class {list(wanted.shape)}; give "
            "the network as it was before QuantizeCoded, pruned"
        )
