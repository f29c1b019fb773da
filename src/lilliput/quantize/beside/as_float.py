"""The float network, for a while, in the place of the quantized one."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from lilliput.quantize.beside.replay import floats_beside
from lilliput.quantize.numbers.fake import quantizers

__all__ = ["as_float"]


@contextmanager
def as_float(module: nn.Module) -> Iterator[None]:
    """Inside, the network is the float one: no quantizer acts, rounded weights are as they were."""
    acting = list(quantizers(module).values())
    kept = list(floats_beside(module))
    rounded = [(getattr(holder, name), value) for holder, name, value in kept]
    saved = [parameter.detach().clone() for parameter, _ in rounded]
    for quantizer in acting:
        quantizer.is_enabled = False
    for parameter, value in rounded:
        parameter.data.copy_(value)
    try:
        yield
    finally:
        for quantizer in acting:
            quantizer.is_enabled = True
        for (parameter, _), value in zip(rounded, saved, strict=True):
            parameter.data.copy_(value)
