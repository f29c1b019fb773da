"""From a network to its graph, by `torch.export`."""

import logging
import re
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from lilliput.core import Model, TraceError
from lilliput.core.model import check_model
from lilliput.core.modes import in_eval_mode, with_plain_attention
from lilliput.graph.graph import Graph

__all__ = ["trace"]


def trace(model: Model, has_dynamic_batch: bool = True) -> Graph:
    """Follows the network once, in eval mode, and gives its operators.

    Args:
        model: What to trace; it is not changed.
        has_dynamic_batch: Let axis 0 of every input vary together. Where the network's own code
            fixes the batch, the graph is traced for the example's batch instead, and says so.

    Raises:
        TraceError: `torch.export` cannot follow the network; names the line of the network's code.
        TypeError: `model` is no `Model`.
    """
    check_model(model)
    inputs = model.example_inputs
    if has_dynamic_batch and all(x.dim() > 0 for x in inputs):
        # torch.export takes a size of 1 as fixed, so a single example is doubled
        several = inputs if len(inputs[0]) > 1 else tuple(torch.cat([x, x]) for x in inputs)
        try:
            program = _export(model, several, tuple({0: Dim.AUTO} for _ in several))
        except TraceError:
            program = _export(model, inputs, None)
            return Graph(model, program, len(inputs[0]), has_dynamic_batch=False)
        return Graph(model, program, len(several[0]), _is_dynamic(program))
    return Graph(model, _export(model, inputs, None), _batch(inputs), has_dynamic_batch=False)


def _batch(inputs: tuple[Tensor, ...]) -> int:
    return len(inputs[0]) if inputs[0].dim() else 1


def _is_dynamic(program: ExportedProgram) -> bool:
    users = set(program.graph_signature.user_inputs)
    return any(
        _is_free(node.meta["val"].shape[0])
        for node in program.graph.nodes
        if node.op == "placeholder" and node.name in users
    )


def _is_free(size: int | torch.SymInt) -> bool:
    """A symbol that the network's code has pinned to one number is not free."""
    return isinstance(size, torch.SymInt) and not size.node.expr.is_number


def _export(
    model: Model, inputs: tuple[Tensor, ...], dynamic_shapes: tuple[dict[int, object], ...] | None
) -> ExportedProgram:
    module = model.module
    try:
        with in_eval_mode(module), with_plain_attention(), _quiet(), torch.no_grad():
            return torch.export.export(module, inputs, dynamic_shapes=dynamic_shapes, strict=False)
    except Exception as error:
        raise TraceError(_explain(module, error)) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """A failed trace would print whole graphs; the error says what matters."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _explain(module: torch.nn.Module, error: Exception) -> str:
    """The line of the user's code that stopped the trace, what torch says, what to change."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not re.search(r"[/\\](torch|lilliput)[/\\]", f.filename)]
    where = f"at {own[-1].filename}:{own[-1].lineno} ({own[-1].line})" if own else "inside torch"
    reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return (
        f"torch.export cannot follow {type(module).__name__} {where}: {reason}. "
        "Code that depends on a tensor's values must become tensor operations "
        "(torch.where, torch.cond) or move out of forward"
    )
