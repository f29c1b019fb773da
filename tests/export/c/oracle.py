"""The C on this machine, and LiteRT's reference kernels beside it."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from lilliput.export.c.generate import Generated, generate

__all__ = ["FLAGS", "Compiled", "build", "check_against_litert", "reference"]

FLAGS = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Wpedantic", "-Werror")


def build(folder: Path, *arguments: str, compiler: str = "gcc") -> None:
    """Compiles in a folder, where no warning is let through."""
    found = shutil.which(compiler)
    if found is None:
        pytest.skip(f"{compiler} is not installed")
    subprocess.run([found, *arguments], cwd=folder, check=True)


class Compiled:
    """The generated C of a file, or what was generated, as a function."""

    def __init__(self, given: Path | Generated, folder: Path, **options: bool) -> None:
        made = generate(given, **options) if isinstance(given, Path) else given
        made.write(folder, vectors=0)
        build(folder, *FLAGS, "-O1", "-shared", "-fPIC", "-o", "model.so", "model.c")
        self.run = ctypes.CDLL(str(folder / "model.so")).lilliput_invoke

    def __call__(self, inputs, shapes):
        outputs = [np.zeros(shape, np.int8) for shape in shapes]
        arrays = [np.ascontiguousarray(x) for x in (*inputs, *outputs)]
        self.run(*(a.ctypes.data_as(ctypes.c_void_p) for a in arrays))
        return arrays[len(inputs) :]


def reference(path: Path):
    """The interpreter as a function of int8 arrays."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(str(path), experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    interpreter.allocate_tensors()

    def run(inputs):
        for detail, values in zip(interpreter.get_input_details(), inputs, strict=True):
            interpreter.set_tensor(detail["index"], values)
        interpreter.invoke()
        return [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]

    return run


def check_against_litert(net, outputs, rng, folder, **options):
    path = net.write(folder / "net.tflite", outputs)
    ours, theirs = Compiled(path, folder / "c", **options), reference(path)
    for _ in range(3):
        inputs = [rng.integers(-128, 128, net.tensors[k].shape, dtype=np.int8) for k in net.inputs]
        wanted = theirs(inputs)
        for found, want in zip(ours(inputs, [w.shape for w in wanted]), wanted, strict=True):
            np.testing.assert_array_equal(found, want)
