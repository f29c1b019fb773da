"""What LiteRT's reference kernels answer: the truth that the C is held against."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lilliput.export.c.network import Network, Tensor
from lilliput.export.format import Array
from lilliput.export.quiet import quiet

__all__ = ["reference_answers"]


def reference_answers(path: Path, network: Network, inputs: Sequence[Array]) -> list[Array]:
    """The file's outputs as int8.

    Args:
        path: The file.
        network: What was read from it.
        inputs: One array for each input, the first axis counting runs.

    Returns:
        One array for each output, likewise.
    """
    with quiet():
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        interpreter = Interpreter(
            str(path), experimental_op_resolver_type=OpResolverType.BUILTIN_REF
        )
    interpreter.allocate_tensors()
    given, taken = interpreter.get_input_details(), interpreter.get_output_details()
    answers: list[list[Array]] = [[] for _ in taken]
    for run in zip(*inputs, strict=True):
        for detail, index, values in zip(given, network.inputs, run, strict=True):
            real = values if detail["dtype"] is np.int8 else _real(values, network.tensors[index])
            interpreter.set_tensor(detail["index"], real)
        interpreter.invoke()
        for place, (detail, index) in enumerate(zip(taken, network.outputs, strict=True)):
            found = interpreter.get_tensor(detail["index"])
            is_whole = detail["dtype"] is np.int8
            answers[place].append(found if is_whole else _whole(found, network.tensors[index]))
    return [np.stack(rows) for rows in answers]


def _real(values: Array, tensor: Tensor) -> Array:
    return (values.astype(np.float32) - tensor.zero_point) * tensor.scale


def _whole(values: Array, tensor: Tensor) -> Array:
    return (np.round(values / tensor.scale) + tensor.zero_point).astype(np.int8)
