"""What a number was measured on."""

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from lilliput.core import Target

__all__ = ["device_name"]

_RUNTIMES = {
    "onnx": "onnxruntime",
    "packed": "onnxruntime",
    "litert": "ai-edge-litert",
    "executorch": "executorch",
    "coreml": "coremltools",
}
_CPU_INFO = Path("/proc/cpuinfo")


def device_name(target: Target) -> str:
    """This machine as a target's device: `x86-64 Intel Xeon, 1 thread, onnxruntime 1.32.0`."""
    threads = f"{target.threads} thread{'' if target.threads == 1 else 's'}"
    return f"{_processor()}, {threads}, {_runtime(target.format)}"


@cache
def _processor() -> str:
    machine = platform.machine().replace("_", "-")
    lines = _CPU_INFO.read_text().splitlines() if _CPU_INFO.is_file() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = named[0] if named else platform.processor()
    return machine if name.replace("_", "-") in {"", machine} else f"{machine} {name}"


def _runtime(format_: str) -> str:
    package = _RUNTIMES.get(format_, format_)
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:  # installed under another name, such as onnxruntime-gpu
        return package
