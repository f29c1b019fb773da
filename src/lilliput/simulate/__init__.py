"""What a runtime's integers make of a network, without the runtime."""

from lilliput.simulate.arithmetic import Arithmetic
from lilliput.simulate.executorch import ExecuTorchXnnpack
from lilliput.simulate.onnxruntime import OnnxRuntime
from lilliput.simulate.simulate import simulate
from lilliput.simulate.tflite import TfliteReference
from lilliput.simulate.xnnpack import Xnnpack

__all__ = [
    "Arithmetic",
    "ExecuTorchXnnpack",
    "OnnxRuntime",
    "TfliteReference",
    "Xnnpack",
    "simulate",
]
