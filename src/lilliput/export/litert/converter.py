"""LiteRT's converter, where it is installed, and its fence between integers and floats."""

from collections.abc import Callable
from typing import Any

from lilliput.core import MissingExtraError
from lilliput.export.quiet import quiet

__all__ = ["fence", "import_converter"]


def import_converter() -> Any:
    """The package `litert_torch`.

    Raises:
        MissingExtraError: It is not installed.
    """
    with quiet():
        try:
            import litert_torch
        except ImportError as error:
            raise MissingExtraError(
                f"exporting to LiteRT needs litert-torch ({error}); pip install 'lilliput[litert]'"
            ) from error
    return litert_torch


def fence() -> Callable[..., Any]:
    """An operator from a list of tensors to the same list, which no scale is carried across.

    It is gone from the file. One tensor has to be given twice: the converter takes a list of one
    for a tensor.

    Raises:
        MissingExtraError: The converter is not installed.
    """
    import_converter()
    with quiet():
        from litert_torch._convert.fx_passes.optimize_layout_transposes_pass import layout_rewrite
        from litert_torch.backend.optimization_barrier import optimization_barrier_op

    # it stands in channels-last as well as in channels-first; unregistered it would be transposed
    # to and fro
    layout_rewrite.rewriters.setdefault(optimization_barrier_op, layout_rewrite.noop)
    operator: Callable[..., Any] = optimization_barrier_op
    return operator
