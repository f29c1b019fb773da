"""The form of every benchmark's results: a JSON list of rows, replaced row by row."""

import json
import platform
import subprocess
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Row:
    """One number of one system in one case."""

    case: str
    system: str
    quantity: str
    value: float
    unit: str
    method: str
    low: float | None = None
    high: float | None = None
    samples: int = 1
    commit: str = ""
    machine: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        return self.case, self.system, self.quantity


@cache
def commit() -> str:
    """The commit that is measured, marked where the tree differs from it."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=10"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.stdout.strip()


@cache
def machine() -> str:
    """Processor and number of cores."""
    import os

    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores"


def read(name: str) -> list[Row]:
    """All rows of a benchmark so far."""
    path = RESULTS / f"{name}.json"
    return [Row(**row) for row in json.loads(path.read_text())] if path.exists() else []


def save(name: str, rows: list[Row]) -> None:
    """Adds rows to `results/NAME.json`; a row of the same case, system and quantity is replaced."""
    stamped = [Row(**{**asdict(r), "commit": commit(), "machine": machine()}) for r in rows]
    new = {row.key for row in stamped}
    kept = [row for row in read(name) if row.key not in new]
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps([asdict(row) for row in kept + stamped], indent=1) + "\n")
    partial.replace(path)
