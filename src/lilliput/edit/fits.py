"""Whether a network still works on its example inputs once its maps have other sizes."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from lilliput.core import Model, UnsupportedError
from lilliput.core.modes import in_eval_mode

__all__ = ["checked"]


def checked(model: Model) -> Model:
    """Gives the model back if it runs.

    Raises:
        UnsupportedError: It does not; names the layer, what it read, and what does not fit.
    """
    module = model.module
    with in_eval_mode(module), _running(module) as running, torch.no_grad():
        try:
            module(*model.example_inputs)
        except Exception as error:
            name, shapes = running[-1] if running else ("", [])
            layer = f"{name!r} ({type(module.get_submodule(name)).__name__})"
            raise UnsupportedError(
                f"{layer if name else 'the network itself'} cannot work on the map it would read"
                f"{f', of shapes {shapes}' if name else ''}: {error}"
            ) from error
    return model


@contextmanager
def _running(module: nn.Module) -> Iterator[list[tuple[str, list[list[int]]]]]:
    """Inside, the layers that have begun and not ended, and the shapes of what they read."""
    begun: list[tuple[str, list[list[int]]]] = []

    def watch(name: str, part: nn.Module) -> list[torch.utils.hooks.RemovableHandle]:
        def begin(_part: nn.Module, inputs: tuple[object, ...]) -> None:
            shapes = [list(x.shape) for x in inputs if isinstance(x, torch.Tensor)]
            begun.append((name, shapes))

        def end(_part: nn.Module, _inputs: object, _output: object) -> None:
            begun.pop()

        return [part.register_forward_pre_hook(begin), part.register_forward_hook(end)]

    handles = [handle for name, part in module.named_modules() for handle in watch(name, part)]
    try:
        yield begun
    finally:
        for handle in handles:
            handle.remove()
