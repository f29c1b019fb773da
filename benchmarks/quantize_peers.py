"""The peers' int8 of EfficientNet-Lite0: the same photos, the same split, the same measurements."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import lite0
import numpy as np
import peers_environment as environment
import torch
from cases import Case
from peers_executorch import quantize as quantize_pt2e
from peers_onnxruntime import METHODS, quantize
from quantize_lite0 import reference, rows_of
from rows import Row
from scoring import WORK

import lilliput as lp
from lilliput.export.litert.format import convert

__all__ = ["cases"]


def calibration() -> np.ndarray:
    """The 200 photos, `[200, 3, 224, 224]`."""
    return torch.cat([images for images, _ in lite0.task().train]).numpy()


def by_onnxruntime(method: str, source: Path, path: Path) -> None:
    """`quantize_static` with unsigned activations, which are its fast ones."""
    quantize(source, path, calibration(), method)


def elsewhere(script: str, source: Path, path: Path) -> None:
    """A peer in an environment of its own."""
    images = path.with_name("calibration.npy")
    np.save(images, calibration())
    environment.run(script, source, images, path)


def by_aeq(_: Path, path: Path) -> None:
    """AI Edge Quantizer, which the LiteRT converter brings with it.

    It knows tensors by their names, which our files leave out: it gets what the converter makes.
    """
    source, images = path.with_name("float.tflite"), path.with_name("calibration.npy")
    source.write_bytes(convert(lite0.model(), fuses_pairs=False))
    np.save(images, calibration())
    script = Path(__file__).with_name("peers_aeq.py")
    subprocess.run([sys.executable, script, source, images, path], check=True)


def by_pt2e(_: Path, path: Path) -> None:
    """PT2E to ExecuTorch, which starts from the network itself."""
    quantize_pt2e(lite0.model(), calibration(), path)


def made(case: str, system: str, target: str, make: Callable[[Path, Path], None]) -> list[Row]:
    """The peer's file, measured as ours are."""
    original = reference(target).artifact
    path = WORK / "lite0" / case / f"model{original.path.suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    make(original.path, path)
    return rows_of(case, target, lp.Artifact.of(path, original.format), system)


def cases() -> Iterator[Case]:
    """ONNX Runtime's calibrations, NNCF, AI Edge Quantizer, PT2E to ExecuTorch."""
    import onnxruntime

    onnx, litert = "onnxruntime-cpu", "litert-cpu"
    runtime = f"ONNX Runtime {onnxruntime.__version__}"
    nncf = f"NNCF {environment.version('nncf')}"
    aeq = f"AI Edge Quantizer {version('ai-edge-quantizer')}"
    peers: list[tuple[str, str, str, Callable[[Path, Path], None]]] = [
        *(
            (f"int8-{method}-onnxruntime", runtime, onnx, partial(by_onnxruntime, method))
            for method in METHODS
        ),
        ("int8-default-onnxruntime", nncf, onnx, partial(elsewhere, "peers_nncf.py")),
        ("int8-min-max-litert", aeq, litert, by_aeq),
    ]
    if find_spec("executorch") is not None:
        pt2e = f"PT2E to ExecuTorch {version('executorch')}"
        peers.append(("int8-pt2e-executorch", pt2e, "executorch-cpu", by_pt2e))
    for name, system, target, make in peers:
        case = f"lite0-{name}"
        yield Case(case, partial(made, case, system, target, make), system)
