"""What every run does first: refuses what cannot work, and notes what it is a run of."""

import platform
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

from lilliput.core import Budget, MissingExtraError, RegistryError, Target, Task
from lilliput.registry import Store
from lilliput.targets.host import check_host

__all__ = ["check_installed", "check_same_run", "note_settings"]

_EXTRAS = {
    "litert": ("litert_torch", "ai_edge_litert"),
    "executorch": ("executorch", "torchao"),
    "coreml": ("coremltools",),
    "openvino": ("openvino",),
}
_PACKAGES = ("lilliput", "torch", "onnx", "onnxruntime")


def check_same_run(store: Store, fingerprint: str) -> None:
    """A run compares its variants with one original on one task.

    Raises:
        RegistryError: The run in the folder began with others.
    """
    began_with = store.notes().get("fingerprint", fingerprint)
    if began_with != fingerprint:
        raise RegistryError(
            f"{store.folder} holds a run of another network, teacher, loss or data; give another "
            "--out, or delete that folder to begin again"
        )
    store.note("fingerprint", fingerprint)


def check_installed(target: Target) -> None:
    """Refuses a target whose packages are missing, or that this machine cannot run.

    Raises:
        MissingExtraError: Names them, and what installs them.
        UnsupportedError: The runtime is there for another system.
    """
    check_host(target)
    missing = [name for name in _EXTRAS.get(target.extra, ()) if find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"target {target.name!r} needs {', '.join(missing)}; "
            f"pip install 'lilliput[{target.extra}]'"
        )


def note_settings(
    store: Store, layers: Sequence[dict[str, Any]], task: Task, budget: Budget
) -> None:
    """Keeps what the report says of the run."""
    store.note("task", task.name)
    store.note("higher_is_better", task.higher_is_better)
    store.note("metric", type(task.metric).__name__)
    store.note("budget", budget.limits())
    store.note("was_stopped", False)
    store.note("machine", f"{platform.machine()} {platform.system()}")
    store.note("versions", {name: version(name) for name in _PACKAGES})
    store.note("layers", list(layers))
