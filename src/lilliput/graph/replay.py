"""A trace run again with other tensors: what the network answers, whatever its own code does."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves

from lilliput.core.modes import in_eval_mode
from lilliput.graph.graph import Graph
from lilliput.graph.resize import Edit

__all__ = ["answers_alike"]


def answers_alike(
    module: nn.Module,
    graph: Graph,
    edits: Mapping[fx.Node, Edit],
    instead: Mapping[int, Tensor],
) -> bool:
    """Whether a network made smaller answers its example inputs as its trace does.

    Code that computes with a size, as `q / math.sqrt(q.shape[-1])` does, computes something else
    after the size has changed; in the trace, the number is as it was.

    Args:
        module: The network, made smaller in place.
        graph: What it was traced to before.
        edits: Of layers' own sizes.
        instead: By the `id` of a parameter or buffer that was, what takes its place.
    """
    inputs = graph.model.example_inputs
    if len(inputs[0]) != graph.batch and not graph.has_dynamic_batch:
        inputs = tuple(torch.cat([x] * graph.batch) for x in inputs)
    with torch.no_grad(), in_eval_mode(module):
        try:
            given = module(*inputs)
        except Exception:  # noqa: BLE001 - the network's own code; whatever it says, it does not fit
            return False
        wanted = _Replay(graph, edits).run(*_tensors(graph, instead), *inputs)
    pairs = zip(_numbers(given), _numbers(wanted), strict=True)
    return all(_are_alike(a, b) for a, b in pairs)


class _Replay(fx.Interpreter):
    """Runs the calls of a trace, some with other arguments."""

    def __init__(self, graph: Graph, edits: Mapping[fx.Node, Edit]) -> None:
        super().__init__(graph.program.graph_module)
        self.edits = edits

    def run_node(self, n: fx.Node) -> Any:
        if n not in self.edits:
            return super().run_node(n)
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        names = [argument.name for argument in n.target._schema.arguments]  # type: ignore[union-attr]  # noqa: SLF001
        named = {**dict(zip(names, args, strict=False)), **kwargs}
        return self.call_function(n.target, (), self.edits[n].applied(named))


def _tensors(graph: Graph, instead: Mapping[int, Tensor]) -> list[Any]:
    """Parameters, buffers and constants in the order in which the trace takes them."""
    program, module = graph.program, graph.model.module
    own = {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }
    found = []
    for spec in program.graph_signature.input_specs:
        if spec.target is None:
            continue
        old = own.get(spec.target, program.constants.get(spec.target))
        found.append(instead.get(id(old), old))
    return found


def _numbers(value: object) -> list[Tensor]:
    return [x for x in tree_leaves(value) if isinstance(x, Tensor)]


def _are_alike(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape:
        return False
    if not a.is_floating_point():
        return True
    room = torch.finfo(a.dtype).eps ** 0.5
    a, b = a.double().nan_to_num(), b.double().nan_to_num()
    room *= float(b.abs().max()) if b.numel() else 0.0
    return bool(((a - b).abs() <= max(room, 1e-30)).all())
