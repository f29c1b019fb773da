"""Scores on disk, so that a file is scored once for each task and split."""

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from lilliput.core import Artifact, Split, Target, Task
from lilliput.core.disk import replacing
from lilliput.measure.accuracy import Scores
from lilliput.measure.device import device_name

__all__ = ["read_scores", "score_name", "write_scores"]

_PLAIN = (bool, int, float, str, type(None))


def score_name(artifact: Artifact, target: Target, task: Task, split: Split) -> str:
    """Names what was scored: the file, the data, the metric with its settings, and the runtime."""
    metric = task.metric
    settings = {k: v for k, v in sorted(vars(metric).items()) if isinstance(v, _PLAIN)}
    kind = f"{type(metric).__module__}.{type(metric).__qualname__}"
    facts = [artifact.sha256, task.identity(), split, kind, settings, device_name(target)]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def read_scores(folder: Path, name: str) -> Scores | None:
    """What was stored, if it was and can be read."""
    path = folder / f"{name}.npz"
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            facts = json.loads(str(stored["facts"]))
            vectors = {key: stored[key] for key in ("values", "left_out") if key in stored}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None  # not there, or cut short: it is scored anew
    return Scores(**facts, **vectors)


def write_scores(folder: Path, name: str, scores: Scores) -> None:
    """Stores them whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"value": scores.value, "samples": scores.samples, "examples": scores.examples}
    both = {"values": scores.values, "left_out": scores.left_out}
    arrays: dict[str, Any] = {key: vector for key, vector in both.items() if vector is not None}
    arrays["facts"] = np.array(json.dumps(facts))
    with replacing(folder / f"{name}.npz") as part:
        np.savez_compressed(part, **arrays)
