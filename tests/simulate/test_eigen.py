"""ONNX Runtime's own reduction is the oracle."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper

from lilliput.simulate.eigen import sum_rows


def reduce_sum(rows: np.ndarray) -> np.ndarray:
    size = rows.shape[1]
    graph = helper.make_graph(
        [helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=0)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None])],
        [helper.make_tensor("axes", TensorProto.INT64, [1], [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": rows})[0])


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 49, 64, 196])
def test_rows_add_up_as_in_onnx_runtime(size: int) -> None:
    rows = torch.randn(97, size, generator=torch.Generator().manual_seed(size))
    # memory as the runtime's own tensors have it
    aligned = np.empty(rows.numel() + 16, np.float32)
    start = -(aligned.ctypes.data // 4) % 16
    held = aligned[start : start + rows.numel()].reshape(rows.shape)
    held[:] = rows.numpy()
    np.testing.assert_array_equal(sum_rows(rows).numpy(), reduce_sum(held))
