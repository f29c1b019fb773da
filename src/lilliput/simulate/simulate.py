"""A network with quantizers as its runtime computes it."""

from collections.abc import Mapping
from dataclasses import replace

from torch import fx
from torch.fx import Node

from lilliput.core import Model, Target, UnsupportedError
from lilliput.core.model import check_model
from lilliput.export.integers import Integers
from lilliput.export.lower import constants_of
from lilliput.quantize import check_rules
from lilliput.quantize.numbers.fake import FakeQuantize, settle_all
from lilliput.simulate.arithmetic import Arithmetic
from lilliput.simulate.build import Builder, Built
from lilliput.simulate.executorch import ExecuTorchXnnpack
from lilliput.simulate.grid import Grid
from lilliput.simulate.modules import Quantize
from lilliput.simulate.onnxruntime import OnnxRuntime
from lilliput.simulate.xnnpack import Xnnpack

__all__ = ["simulate"]

_ARITHMETIC: Mapping[str, Arithmetic] = {
    "onnx": OnnxRuntime(),
    "packed": OnnxRuntime(),
    "litert": Xnnpack(),
    "executorch": ExecuTorchXnnpack(),
}


def simulate(model: Model, target: Target, arithmetic: Arithmetic | None = None) -> Model:
    """Gives a network that computes in integers what the exported file computes.

    Args:
        model: A captured network with quantizers, as `QuantizeStatic` leaves it; not changed.
        target: Whose runtime is simulated.
        arithmetic: How its kernels round, where the target's runtime has several sets of them.

    Raises:
        UnsupportedError: The network has no quantizers, or some against the target's rules; or
            there is no simulation of the target's runtime.
        TypeError: `model` is no `Model`.
    """
    check_model(model)
    known = ", ".join(_ARITHMETIC)
    if target.rules is None or target.format not in _ARITHMETIC:
        raise UnsupportedError(
            f"{target.name!r} runs {target.format!r} files, whose integers are not simulated; "
            f"known are {known}"
        )
    check_rules(model.module, target.rules, target.name)
    model = model.clone()
    module = model.module
    if not isinstance(module, fx.GraphModule) or not any(
        isinstance(part, FakeQuantize) and part.is_enabled for part in module.modules()
    ):
        raise UnsupportedError(
            f"{type(module).__name__} has no quantizers to simulate; QuantizeStatic comes before"
        )
    settle_all(module)
    chosen = arithmetic or _ARITHMETIC[target.format]
    _replace(module, _plan(module, Integers(module, target.rules), chosen))
    module.graph.eliminate_dead_code()
    module.delete_all_unused_submodules()
    module.graph.lint()
    module.recompile()
    return replace(model, module=module.eval())


def _plan(module: fx.GraphModule, integers: Integers, arithmetic: Arithmetic) -> list[Built]:
    """Everything that is computed otherwise than the network says, before anything changes."""
    builder = Builder(integers, arithmetic)
    constants = constants_of(module.graph)
    built = [
        found for node in module.graph.nodes if (found := builder.build(node)) and found.replaced
    ]
    done = {node for found in built for node in found.replaced}
    for node in module.graph.nodes:
        if node in done or not integers.is_quantizer(node) or node.args[0] in constants:
            continue
        built.append(builder.rescale(node) or _quantize(module, node, arithmetic))
    return built


def _quantize(module: fx.GraphModule, node: Node, arithmetic: Arithmetic) -> Built:
    quantizer, source = module.get_submodule(str(node.target)), node.args[0]
    assert isinstance(quantizer, FakeQuantize)  # noqa: S101
    assert isinstance(source, Node)  # noqa: S101
    return Built(Quantize(arithmetic, Grid.of(quantizer)), (source,), (node,))


def _replace(module: fx.GraphModule, plan: list[Built]) -> None:
    """Puts modules in the place of the nodes that gave their tensors."""
    calls = []
    for index, built in enumerate(plan):
        name, first = f"integer_{index}", built.replaced[0]
        module.add_module(name, built.module)
        with module.graph.inserting_before(first):
            node = module.graph.create_node("call_module", name, built.inputs, name=first.name)
        node.meta = dict(first.meta)
        calls.append(node)
    # only now: what reads a tensor that is replaced later still named the old node
    for node, built in zip(calls, plan, strict=True):
        for replaced in built.replaced:
            replaced.replace_all_uses_with(node)
