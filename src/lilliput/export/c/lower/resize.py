"""Maps made larger or smaller.

Source: TensorFlow Lite, `resize_nearest_neighbor.h` and `resize_bilinear.h`.
"""

import numpy as np

from lilliput.export.c.lower.step import Step, check_same_scale, check_shape
from lilliput.export.c.network import Network, Operator
from lilliput.export.format import Array

__all__ = ["bilinear", "nearest"]

_BITS = 10


def nearest(network: Network, operator: Operator) -> list[Step]:
    """The pixel that lies next."""
    x, y = network.read(operator, 0), network.written(operator)
    check_same_scale(operator, x, y)
    rows, columns = (_nearest(operator, x.shape[a], y.shape[a]) for a in (1, 2))
    return [_step("resize_nearest", network, operator, {"rows": rows, "columns": columns})]


def _nearest(operator: Operator, size: int, out: int) -> Array:
    aligned, half = (bool(operator.options.get(k)) for k in ("alignCorners", "halfPixelCenters"))
    scale = np.float32((size - 1) / (out - 1) if aligned and out > 1 else size / out)
    offset = np.float32(0.5 if half else 0.0)
    places = (np.arange(out, dtype=np.float32) + offset) * scale
    found = np.floor(places + np.float32(0.5)) if aligned else np.floor(places)
    return np.asarray(np.clip(found, 0, size - 1), np.uint16)


def bilinear(network: Network, operator: Operator) -> list[Step]:
    """Between four pixels, by weights of 10 bits."""
    x, y = network.read(operator, 0), network.written(operator)
    check_same_scale(operator, x, y)
    arrays: dict[str, Array] = {}
    for name, axis in (("row", 1), ("column", 2)):
        lower, upper, shares = _between(operator, x.shape[axis], y.shape[axis])
        arrays |= {f"{name}_lower": lower, f"{name}_upper": upper, f"{name}_share": shares}
    return [_step("resize_bilinear", network, operator, arrays)]


def _between(operator: Operator, size: int, out: int) -> tuple[Array, Array, Array]:
    aligned, half = (bool(operator.options.get(k)) for k in ("alignCorners", "halfPixelCenters"))
    one = 1 << _BITS
    scale = (one * size + out // 2) // out
    if aligned and out > 1:
        scale = (one * (size - 1) + (out - 1) // 2) // (out - 1)
    places = np.arange(out) * scale
    if half:
        places = places + scale // 2 - one // 2
    lower = np.maximum(np.trunc(places / one).astype(np.int64), 0)
    upper = np.minimum(np.trunc((places + one - 1) / one).astype(np.int64), size - 1)
    shares = places - one * lower
    return lower.astype(np.uint16), upper.astype(np.uint16), shares.astype(np.int16)


def _step(kernel: str, network: Network, operator: Operator, arrays: dict[str, Array]) -> Step:
    x, y = network.read(operator, 0), network.written(operator)
    check_shape(operator, y, (x.shape[0], *y.shape[1:3], x.shape[3]))
    settings = {
        "batch": x.shape[0],
        "in_height": x.shape[1],
        "in_width": x.shape[2],
        "out_height": y.shape[1],
        "out_width": y.shape[2],
        "channels": x.shape[3],
    }
    return Step(kernel, operator, (operator.source(),), operator.outputs[0], settings, arrays)
