"""Layers for the kernels that take fewest instructions, where their numbers allow that."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from lilliput.export.c.lower.overlap import distance
from lilliput.export.c.lower.step import Program, Step
from lilliput.export.format import Array

__all__ = ["quick"]

_MOST_BITS = 21
"""By which `rescaled` shifts at most: its rounding and the zero point, together, fit 32 bits."""


def quick(program: Program) -> Program:
    """The program with quicker kernels; calls that differ only in where they read share them."""
    found: dict[tuple[object, ...], Step] = {}
    steps = []
    for step in program.steps:
        arrays = tuple(map(id, step.arrays.values()))
        key = (step.kernel, arrays, *step.settings.items(), *step.distances.items(), step.in_place)
        if key not in found:
            found[key] = _quicker(step)
        own = ("operator", "reads", "writes", "macs", "starts", "fills", "layer")
        steps.append(replace(found[key], **{name: getattr(step, name) for name in own}))
    return replace(program, steps=tuple(steps))


def _quicker(step: Step) -> Step:
    """The step for a quicker kernel with the same answers, or the step itself."""
    if step.kernel == "conv_2d_wide":
        return _paired(step) or step
    if step.kernel == "depthwise_conv_2d":
        return _in_lines(step) or step
    if step.kernel == "fully_connected_wide":
        return _by_four(step) or step
    if step.kernel == "add_wide":
        return _with_few_bits(step) or step
    return step


def _with_few_bits(step: Step) -> Step | None:
    """For `add`: all shifts are to the right."""
    settings = dict(step.settings)
    for name in ("first", "second", "out"):
        settings[f"{name}_bits"] = -settings.pop(f"{name}_shift")
    bits = [settings[f"{name}_bits"] for name in ("first", "second", "out")]
    if min(bits) < 0 or bits[2] < 1 or max(bits) > _MOST_BITS:
        return None
    return replace(step, kernel="add", settings=settings)


def _by_four(step: Step) -> Step | None:
    """For `fully_connected`: one multiplier where all are the same."""
    bits = _bits(step, doubled=1)
    if bits is None:
        return None
    weights = step.arrays["weights"].reshape(1, -1, step.settings["in_channels"])
    scaling = {"multiplier": step.arrays["multiplier"], "bits": bits}
    per_filter = any((values != values[0]).any() for values in scaling.values())
    if not per_filter:
        scaling = {name: values[:1] for name, values in scaling.items()}
    words = {"weights": _interleaved(weights, filters=4)}
    bias = step.arrays["bias"]
    arrays = {**words, "bias": np.pad(bias, (0, -len(bias) % 4)), **scaling}
    settings = {**step.settings, "per_filter": int(per_filter)}
    return replace(step, kernel="fully_connected", arrays=arrays, settings=settings)


def _paired(step: Step) -> Step | None:
    """For `conv_2d`: sums in 256ths have to fit 32 bits, and odd weights may borrow one."""
    of = _window(step)
    filters, bits = of["out_channels"], _bits(step)
    weights = step.arrays["weights"].reshape(filters, -1).astype(np.int64)
    length = weights.shape[1]
    weights = np.pad(weights, ((0, 0), (0, length % 2)))
    bias = step.arrays["bias"].astype(np.int64)
    borrowed = weights.copy()
    borrowed[:, 1::2] -= weights[:, ::2] < 0
    low, high = _extremes(weights, bias)
    if bits is None or borrowed.min() < -128 or low < -(1 << 23) or high >= 1 << 23:
        return None
    groups = step.settings["groups"]
    words = _interleaved(borrowed.reshape(groups, filters // groups, -1), filters=2)
    multiplier = step.arrays["multiplier"].astype(np.int64)
    total = bias + 127 * weights[:, 1::2].sum(1)
    scaling, on_helium = (
        _in_pairs(np.stack([begin * 256 + bits, multiplier], -1), groups) for begin in (total, bias)
    )
    is_one = of["kernel_height"] == of["kernel_width"] == 1
    scratch = 16 * (-(-length // 4)) + (0 if is_one else length)
    found = replace(
        step,
        kernel="conv_2d",
        arrays={"weights": words, "scaling": scaling},
        on_helium={"scaling": on_helium},
        scratch=scratch,
    )
    # what is far enough for two places is so for four, which begin at some of the same
    near = {0: distance(step, True, together=2)} if step.distances else {}
    return replace(found, distances=near)


def _in_pairs(scaling: Array, groups: int) -> Array:
    """Words of each filter, and zeros for one more where a group's number of them is odd."""
    each = scaling.reshape(groups, -1, 2)
    even = np.pad(each, ((0, 0), (0, each.shape[1] % 2), (0, 0)))
    return (even & 0xFFFFFFFF).astype(np.uint32).view(np.int32).reshape(-1)


def _in_lines(step: Step) -> Step | None:
    """For `depthwise_conv_3x3`: sums have to fit 31 bits."""
    of, bits = _window(step), _bits(step)
    three = of["kernel_height"] == of["kernel_width"] == 3
    near = of["dilation_height"] == of["dilation_width"] == step.settings["multiple"] == 1
    if bits is None or not three or not near or of["stride_width"] > 2:
        return None
    weights = step.arrays["weights"].reshape(3, 3, -1)
    bias = step.arrays["bias"].astype(np.int64)
    low, high = _extremes(weights.reshape(9, -1).T.astype(np.int64), bias)
    if low < -(1 << 30) or high >= 1 << 30:
        return None
    along, across = "width", "height"
    same = all(of[f"in_{a}"] == of[f"out_{a}"] and of[f"stride_{a}"] == 1 for a in (along, across))
    if same and of["in_height"] > of["in_width"]:
        along, across, weights = across, along, weights.transpose(1, 0, 2)
    settings = _lines(of, along, across)
    behind = (of[f"out_{along}"] - 1) * of[f"stride_{along}"] + 3 - settings["before"]
    if settings["before"] > 1 or behind - of[f"in_{along}"] > 1:  # more than the kernel puts there
        return None
    arrays = {
        "weights": weights.reshape(9, -1).T.reshape(-1),
        "twice_bias": step.arrays["bias"] * 2,
        "multiplier": step.arrays["multiplier"],
        "bits": bits,
    }
    ends = {name: step.settings[name] for name in ("out_zero", "low", "high")}
    ends["in_zero"] = of["in_zero"]
    return replace(
        step,
        kernel="depthwise_conv_3x3",
        settings={**settings, **ends},
        arrays=arrays,
        scratch=4 * (4 * settings["pitch"] + -(-settings["out_length"] // 2) * 2),
        distances={},
        in_place=(0,),
    )


def _lines(of: Mapping[str, int], along: str, across: str) -> dict[str, int]:
    """A map as lines along one of its axes; both are `height` or `width`."""
    channels = of["in_channels"]
    bytes_of = {
        f"{whose}_{axis}": channels * (of[f"{whose}_width"] if axis == "height" else 1)
        for whose in ("in", "out")
        for axis in (along, across)
    }
    before, length, out = of[f"pad_{along}"], of[f"in_{along}"], of[f"out_{along}"]
    stride = of[f"stride_{along}"]
    return {
        "in_line": bytes_of[f"in_{across}"],
        "in_step": bytes_of[f"in_{along}"],
        "out_line": bytes_of[f"out_{across}"],
        "out_step": bytes_of[f"out_{along}"],
        "batch": of["batch"],
        "channels": channels,
        "in_lines": of[f"in_{across}"],
        "in_length": length,
        "out_lines": of[f"out_{across}"],
        "out_length": out,
        "pitch": max(-(-out // 2) * stride + 1, (before + length) // 2 + 1),
        "stride": stride,
        "line_stride": of[f"stride_{across}"],
        "lines_before": of[f"pad_{across}"],
        "before": before,
    }


def _window(step: Step) -> dict[str, int]:
    """Settings of a step's window, without their prefix."""
    return {name.removeprefix("window."): value for name, value in step.settings.items()}


def _bits(step: Step, doubled: int = 0) -> Array | None:
    """Shifts to the right after a high product; None if `rescaled` cannot do one of them.

    Args:
        step: With a multiplier and a shift for each filter.
        doubled: 1 where it is the sum itself that is multiplied, 0 where it is twice the sum.
    """
    is_zero = step.arrays["multiplier"] == 0
    bits = np.where(is_zero, 1, -step.arrays["shift"].astype(np.int64) - doubled)
    return bits.astype(np.uint8) if bits.min() >= 1 and bits.max() <= _MOST_BITS else None


def _extremes(weights: Array, bias: Array) -> tuple[int, int]:
    """The least and the most that a filter can sum up to."""
    low = np.minimum(weights * 127, weights * -128).sum(1) + bias
    high = np.maximum(weights * 127, weights * -128).sum(1) + bias
    return int(low.min()), int(high.max())


def _interleaved(weights: Array, filters: int) -> Array:
    """Words of four weights of one filter, then of the next, for so many filters at a time.

    Args:
        weights: [groups, filters of a group, length].
        filters: To a multiple of which each group is filled up with zeros.
    """
    groups, count, length = weights.shape
    rows, quarters = -(-count // filters), -(-length // 4)
    padded = np.zeros((groups, rows * filters, quarters * 4), np.uint8)
    padded[:, :count, :length] = weights.astype(np.int64) & 0xFF
    ordered = padded.reshape(groups, rows, filters, quarters, 4).transpose(0, 1, 3, 2, 4)
    return np.ascontiguousarray(ordered).view("<u4").reshape(-1).astype(np.uint32)
