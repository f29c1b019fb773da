"""The integers inside a file: of every layer, as the runtime's own kernels give them."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

import lilliput as lp
from lilliput.export.litert.file import pack, read
from lilliput.simulate.grid import Grid
from lilliput.simulate.modules import Quantize

__all__ = ["from_file", "from_simulation", "worst_layer"]

_INT8 = 9
Codes = np.ndarray[Any, np.dtype[np.int16]]


def from_simulation(module: fx.GraphModule, inputs: Tensor) -> dict[str, Codes]:
    """Codes of the tensors with a grid, by the name of their node."""

    class Recorder(fx.Interpreter):
        def run_node(self, n: fx.Node) -> object:
            value = super().run_node(n)
            part = module.get_submodule(str(n.target)) if n.op == "call_module" else None
            # quantizers of what was only moved stay in no file
            is_first = isinstance(part, Quantize) and n.all_input_nodes[0].op == "placeholder"
            grid = getattr(part, "grid" if is_first else "output", None)
            if isinstance(grid, Grid):
                codes = (value / grid.step).round() + grid.zero_point
                found[n.name] = codes.numpy().astype(np.int16)
            return value

    found: dict[str, Codes] = {}
    with torch.no_grad():
        Recorder(module).run(inputs)
    return found


def from_file(artifact: lp.Artifact, inputs: Tensor) -> list[Codes]:
    """All integer activations, the kernels being those of the file as it is."""
    run = _from_onnx if artifact.format == "onnx" else _from_litert
    return run(artifact.path, inputs.numpy())


def _from_onnx(path: Path, inputs: Any) -> list[Codes]:
    """Runs what ONNX Runtime made of the file, with more outputs and without optimizing again."""
    import onnx
    import onnxruntime as ort

    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.optimized_model_filepath = str(Path(folder) / "optimized.onnx")
        ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        model = onnx.load(options.optimized_model_filepath)
    given = {output.name for output in model.graph.output}
    for node in model.graph.node:
        if node.output[0] not in given:
            model.graph.output.append(onnx.helper.make_empty_tensor_value_info(node.output[0]))
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    content = model.SerializeToString()
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    values = session.run(None, {session.get_inputs()[0].name: inputs})
    return [value.astype(np.int16) for value in values if value.dtype == np.uint8]


def _from_litert(path: Path, inputs: Any) -> list[Codes]:
    """Runs a copy of the file whose activations are outputs, so that XNNPACK gives them."""
    from ai_edge_litert.interpreter import Interpreter

    file = read(path.read_bytes(), path.name)
    graph = file.subgraphs[0]
    computed = sorted({int(index) for op in graph.operators for index in op.outputs})
    graph.outputs = [index for index in computed if graph.tensors[index].type == _INT8]
    file.signatureDefs = []
    interpreter = Interpreter(model_content=pack(file), num_threads=1)
    interpreter.allocate_tensors()
    (entry,), outputs = interpreter.get_input_details(), interpreter.get_output_details()
    given = np.asarray(inputs, np.float32)
    if entry["dtype"] is np.int8:
        scale, zero_point = entry["quantization"]
        codes = np.round(given / np.float32(scale)) + zero_point
        given = np.clip(codes, -128, 127).astype(np.int8)
    found: list[list[Codes]] = [[] for _ in outputs]
    for example in given:
        interpreter.set_tensor(entry["index"], example[None])
        interpreter.invoke()
        for values, output in zip(found, outputs, strict=True):
            values.append(interpreter.get_tensor(output["index"]).astype(np.int16))
    return [np.concatenate(values) for values in found]


def worst_layer(ours: dict[str, Codes], theirs: list[Codes]) -> tuple[int, int, int]:
    """Largest difference of a code, how many layers have equal codes, and how many were found.

    A layer's tensor is looked for by its values, as it is or with channels last.
    """
    differences = []
    for codes in ours.values():
        near = [np.abs(codes - other).max() for value in theirs for other in _alike(value, codes)]
        if near:
            differences.append(int(min(near)))
    return max(differences), sum(difference == 0 for difference in differences), len(differences)


def _alike(other: Codes, codes: Codes) -> list[Codes]:
    """A tensor in the layouts in which it has the shape of another."""
    layouts = [other, other.transpose(0, 3, 1, 2)] if other.ndim == 4 else [other]
    if other.ndim != codes.ndim and other.size == codes.size:
        layouts.append(other.reshape(codes.shape))
    return [layout for layout in layouts if layout.shape == codes.shape]
