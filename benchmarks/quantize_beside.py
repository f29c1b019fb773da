"""The int8 files of EfficientNet-Lite0, ours and the peers', timed in turn in one process."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import lite0
from cases import Case
from quantize_peers import cases as peers
from rows import Row
from scoring import WORK

import lilliput as lp
from lilliput.measure.device import device_name
from lilliput.measure.harness import Worker
from lilliput.measure.latency import ratio

__all__ = ["cases"]

OURS = "int8-RoundSecondOrder"
LIMIT_S = 600.0


def file_of(case: str, suffix: str) -> Path:
    """Where a case of Lite0 writes its file."""
    return WORK / "lite0" / case / f"model{suffix}"


def made(case: str, runtime: str, suffix: str) -> list[Row]:
    """The ratio of our time to that of each peer whose file is there, round by round."""
    target = lp.get_target(f"{runtime}-cpu")
    name = f"lite0-{OURS}-{runtime}"
    ours = file_of(name, suffix)
    theirs = {
        f"{peer.system}, {peer.name.split('-')[2]}": file_of(peer.name, suffix)
        for peer in peers()
        if peer.name.endswith(runtime) and file_of(peer.name, suffix).exists()
    }
    if not ours.exists() or not theirs:
        raise SystemExit(f"make {name} and a peer's file first: --again --case 'lite0-int8-*'")
    inputs, _ = next(iter(lite0.task().validation))
    examples = [(inputs[i : i + 1].numpy(),) for i in range(min(16, len(inputs)))]
    with Worker(lp.Artifact.of(ours, target.format), target, LIMIT_S) as worker:
        worker.open(examples[0])
        times = worker.time([ours, *theirs.values()], None, examples)
    found = [
        ratio(f"our time / that of {system}", times[0], other, device_name(target))
        for system, other in zip(theirs, times[1:], strict=True)
    ]
    return [
        Row(case, "lilliput", m.quantity, m.value, m.unit, m.method, m.low, m.high, m.samples)
        for m in found
    ]


def cases() -> Iterator[Case]:
    """One for each runtime."""
    for runtime, suffix in (("onnxruntime", ".onnx"), ("litert", ".tflite")):
        case = f"lite0-int8-beside-peers-{runtime}"
        yield Case(case, partial(made, case, runtime, suffix))
