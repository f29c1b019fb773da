"""emx-onnx-cgen's C for the networks of an int8 `.tflite` file; `microcontroller.py` counts it."""

import ctypes
import subprocess
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import peers_environment as environment
from tflite_as_onnx import check, onnx_of

from lilliput.export.c.network import Network
from lilliput.export.c.read import read_network

__all__ = ["STACK_BYTES", "SYSTEM", "make"]

SYSTEM = f"emx-onnx-cgen {environment.version('emx-onnx-cgen')}"
STACK_BYTES = 1 << 20
"""Set aside, as all that flows between layers lies on the stack; what is used is measured."""
_NO_HEAP = ("--large-temp-threshold", "0", "--large-weight-threshold", "0")
_HEADER = """#include <stdint.h>
#define LILLIPUT_OUTPUT_BYTES {outputs}
#define LILLIPUT_ARENA_BYTES 0
static int8_t in[{inputs}];
#define LILLIPUT_INPUT in
void lilliput_invoke(const int8_t *in, int8_t *out);
"""
"""What our own firmware calls, and the peer's function is named after."""


def make(tflite: Path, folder: Path) -> list[Path]:
    """Writes `model.c` and `model.h`, once ONNX Runtime and the C have been seen to answer alike.

    Args:
        tflite: Whose weights, scales and zero points they have.
        folder: Made if it is not there.

    Returns:
        What is to be compiled.

    Raises:
        ValueError: Answers differ.
    """
    environment.create()
    folder.mkdir(parents=True, exist_ok=True)
    network = read_network(tflite)
    check(tflite, network)
    source, path = folder / "model.onnx", folder / "model.c"
    onnx.save(onnx_of(network), source)
    program = environment.PYTHON.with_name("emx-onnx-cgen")
    command = [program, "compile", source, path, "--model-name", "lilliput_invoke", *_NO_HEAP]
    subprocess.run(command, check=True, capture_output=True)
    sizes = {name: _count(network, name) for name in ("inputs", "outputs")}
    (folder / "model.h").write_text(_HEADER.format(**sizes))
    _check_answers(source, path)
    return [path, Path("-lm")]


def _count(network: Network, ends: str) -> int:
    (index,) = getattr(network, ends)
    return network.tensors[index].count


def _check_answers(source: Path, path: Path, runs: int = 5) -> None:
    """The C, on this machine, gives what ONNX Runtime gives, within one."""
    library = path.with_suffix(".so")
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", library, path, "-lm"], check=True)
    invoke = ctypes.CDLL(str(library)).lilliput_invoke
    session = onnxruntime.InferenceSession(source)
    (given,), (taken,) = session.get_inputs(), session.get_outputs()
    rng = np.random.default_rng(0)
    for _ in range(runs):
        x = rng.integers(-128, 128, given.shape, dtype=np.int8)
        found = np.zeros(taken.shape, np.int8)
        invoke(*(a.ctypes.data_as(ctypes.c_void_p) for a in (x, found)))
        (wanted,) = session.run(None, {given.name: x})
        off = int(np.abs(found.astype(np.int32) - wanted).max())
        if off > 1:
            raise ValueError(f"{path.name} is off by {off} from ONNX Runtime")
