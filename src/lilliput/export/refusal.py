"""One error for all that can go wrong between a network and a file format."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from lilliput.core import ExportError, LilliputError

__all__ = ["refusal", "refusing"]


def refusal(module: nn.Module, form: str, error: Exception) -> ExportError:
    """Says in one line why a network has no such form.

    Args:
        module: The network.
        form: The format's name, as people write it.
        error: What was raised; converters wrap the reason in errors of their own.
    """
    reason = error.__cause__ or error
    lines = str(reason).strip().splitlines()
    said = f"{type(reason).__name__}: {lines[0]}" if lines else type(reason).__name__
    return ExportError(f"{type(module).__name__} has no {form} form: {said}")


@contextmanager
def refusing(module: nn.Module, form: str) -> Iterator[None]:
    """Turns what goes wrong inside into such a refusal; our own errors pass through.

    Raises:
        ExportError: Anything else was raised.
    """
    try:
        yield
    except LilliputError:
        raise
    except Exception as error:
        raise refusal(module, form, error) from error
