"""Runs the ML programs of the tiny networks with PyTorch, from what the file says alone.

It is no Core ML: it says what the program means, by the descriptions of its operators.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tests.export.coreml.reader import Operation, Program, read
from torch import Tensor
from torch.nn import functional

from lilliput.export.format import Array, TensorSpec, in_batches

_TYPES = {"fp32": torch.float32, "bool": torch.bool, "int32": torch.int32}


class Interpreter:
    """A predictor of one example at a time."""

    def __init__(self, path: Path) -> None:
        self.program: Program = read(path)
        self.values: dict[str, Any] = {}
        self.inputs = tuple(_spec(feature) for feature in self.program.description.input)
        self.outputs = tuple(_spec(feature) for feature in self.program.description.output)

    def __call__(self, inputs: tuple[Array, ...], /) -> tuple[Array, ...]:
        return in_batches(self._run, inputs, 1)

    @torch.no_grad()
    def _run(self, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        self.values = {}
        for spec, array in zip(self.inputs, inputs, strict=True):
            dtype = np.int32 if spec.dtype == "int64" else np.float32
            self.values[spec.name] = torch.from_numpy(np.ascontiguousarray(array, dtype))
        for operation in self.program.operations:
            self._step(operation)
        assert self.program.outputs == [spec.name for spec in self.outputs]
        return tuple(self.values[name].numpy() for name in self.program.outputs)

    def _step(self, operation: Operation) -> None:
        arguments = {
            name: value if isinstance(value, str) else torch.from_numpy(np.array(value))
            for name, value in operation.constants.items()
            if name != "name"
        }
        for name, names in operation.inputs.items():
            found = [self.values[one] for one in names]
            if name in LISTS:
                arguments[name] = found
            elif found:
                arguments[name] = found[0]
        if operation.kind == "const":
            result = arguments["val"]
        else:
            result = OPERATORS[operation.kind](**arguments)
        (output,) = operation.outputs
        self.values[output] = result


LISTS = {"values"}


def _spec(feature: Any) -> TensorSpec:
    array = feature.type.multiArrayType
    dtype = feature.shortDescription or {65568: "float32", 131104: "int32"}[array.dataType]
    return TensorSpec(feature.name, (None, *array.shape[1:]), dtype)


def ints(value: Tensor) -> list[int]:
    return [int(one) for one in value.reshape(-1)]


def blockwise(data: Tensor, scale: Tensor, offset: Tensor | None = None) -> Tensor:
    assert offset is None
    for axis in range(data.dim()):
        scale = scale.repeat_interleave(data.shape[axis] // scale.shape[axis], axis)
    return scale * data.to(scale.dtype)


def table(indices: Tensor, lut: Tensor) -> Tensor:
    assert lut.shape[-1] == 1
    lut = lut[..., 0]
    for axis in range(indices.dim()):
        lut = lut.repeat_interleave(indices.shape[axis] // lut.shape[axis], axis)
    return lut.gather(-1, indices.long().unsqueeze(-1)).squeeze(-1)


def quantize(
    input: Tensor,  # noqa: A002
    scale: Tensor,
    output_dtype: str,
    zero_point: Tensor | None = None,
) -> Tensor:
    dtype = {"uint8": torch.uint8, "int8": torch.int8}[output_dtype]
    limits = torch.iinfo(dtype)
    zero = 0 if zero_point is None else int(zero_point)
    codes = torch.clamp(torch.round(input / scale) + zero, limits.min, limits.max)
    return codes.to(dtype)


def dequantize(
    input: Tensor,  # noqa: A002
    scale: Tensor,
    zero_point: Tensor | None = None,
) -> Tensor:
    zero = 0.0 if zero_point is None else float(zero_point)
    return (input.float() - zero) * scale


def conv(  # noqa: PLR0913, PLR0917
    x: Tensor, weight: Tensor, strides: Tensor, pad_type: str, pad: Tensor, dilations: Tensor,
    groups: Tensor, bias: Tensor | None = None,
) -> Tensor:  # fmt: skip
    assert pad_type in {"custom", "valid"}
    sides = ints(pad) if pad_type == "custom" else [0] * (2 * (x.dim() - 2))
    pairs = [sides[i : i + 2] for i in range(0, len(sides), 2)]
    x = functional.pad(x, [side for pair in reversed(pairs) for side in pair])
    run = functional.conv1d if x.dim() == 3 else functional.conv2d
    return run(x, weight, bias, ints(strides), 0, ints(dilations), int(groups))


def conv_transpose(  # noqa: PLR0913, PLR0917
    x: Tensor, weight: Tensor, strides: Tensor, pad_type: str, pad: Tensor, dilations: Tensor,
    groups: Tensor, bias: Tensor | None = None, output_shape: Tensor | None = None,
) -> Tensor:  # fmt: skip
    sides = ints(pad) if pad_type == "custom" else [0] * (2 * (x.dim() - 2))
    assert sides[0::2] == sides[1::2]
    result = functional.conv_transpose2d(
        x, weight, bias, ints(strides), sides[0::2], 0, int(groups), ints(dilations)
    )
    assert output_shape is None or ints(output_shape) == list(result.shape)
    return result


def pool(run: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def call(  # noqa: PLR0913, PLR0917
        x: Tensor, kernel_sizes: Tensor, strides: Tensor, pad_type: str, pad: Tensor,
        ceil_mode: Tensor, exclude_padding_from_average: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        sides = ints(pad)
        assert sides[0::2] == sides[1::2]
        assert exclude_padding_from_average is None or not any(sides)
        kernel, stride = ints(kernel_sizes), ints(strides)
        return run(x, kernel, stride, sides[0::2], ceil_mode=bool(ceil_mode))

    return call


def batch_norm(  # noqa: PLR0913, PLR0917
    x: Tensor, mean: Tensor, variance: Tensor, gamma: Tensor, beta: Tensor, epsilon: Tensor
) -> Tensor:
    return functional.batch_norm(x, mean, variance, gamma, beta, False, 0.0, float(epsilon))


def sliced(x: Tensor, begin: Tensor, end: Tensor, end_mask: Tensor, squeeze_mask: Tensor) -> Tensor:
    places: list[Any] = []
    for first, last, whole, one in zip(begin, end, end_mask, squeeze_mask, strict=True):
        places.append(int(first) if one else slice(int(first), None if whole else int(last)))
    return x[tuple(places)]


def squeeze(x: Tensor, axes: Tensor) -> Tensor:
    return x.squeeze(tuple(ints(axes)))


def expand(x: Tensor, axes: Tensor) -> Tensor:
    (axis,) = ints(axes)
    return x.unsqueeze(axis)


def attention(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor) -> Tensor:
    return functional.scaled_dot_product_attention(query, key, value, attn_mask)


def gather(
    x: Tensor, indices: Tensor, axis: Tensor, batch_dims: Tensor, validate_indices: Tensor
) -> Tensor:
    assert not int(batch_dims)
    return x.index_select(int(axis), indices.reshape(-1)).view(*indices.shape, *x.shape[1:])


OPERATORS: dict[str, Callable[..., Tensor]] = {
    "constexpr_lut_to_dense": table,
    "constexpr_blockwise_shift_scale": blockwise,
    "constexpr_cast": lambda source_val, output_dtype: source_val.to(_TYPES[output_dtype]),
    "quantize": quantize,
    "dequantize": dequantize,
    "conv": conv,
    "conv_transpose": conv_transpose,
    "linear": lambda x, weight, bias=None: functional.linear(x, weight, bias),
    "batch_norm": batch_norm,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "add": lambda x, y: x + y,
    "mul": lambda x, y: x * y,
    "real_div": lambda x, y: x / y,
    "clip": lambda x, alpha, beta: x.clamp(float(alpha), float(beta)),
    "max_pool": pool(functional.max_pool2d),
    "avg_pool": pool(functional.avg_pool2d),
    "reduce_sum": lambda x, axes, keep_dims: x.sum(ints(axes), bool(keep_dims)),
    "reduce_mean": lambda x, axes, keep_dims: x.mean(ints(axes), bool(keep_dims)),
    "reshape": lambda x, shape: x.reshape(ints(shape)),
    "transpose": lambda x, perm: x.permute(ints(perm)),
    "concat": lambda values, axis, interleave: torch.cat(values, int(axis)),
    "cast": lambda x, dtype: x.to(_TYPES[dtype]),
    "greater_equal": lambda x, y: x >= y,
    "logical_not": lambda x: ~x,
    "select": lambda cond, a, b: torch.where(cond.bool(), a, b),
    "gather": gather,
    "tile": lambda x, reps: x.tile(ints(reps)),
    "expand_dims": expand,
    "squeeze": squeeze,
    "slice_by_index": sliced,
    "layer_norm": lambda x, axes, gamma, beta, epsilon: functional.layer_norm(
        x, gamma.shape, gamma, beta, float(epsilon)
    ),
    "scaled_dot_product_attention": attention,
}
