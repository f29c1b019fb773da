"""Few bits, and what they cost: every file scored in its own runtime.

    python benchmarks/quantize.py --data DIR [--case PATTERN ...] [--again] [--list]

Rows go to `benchmarks/results/quantize.json`; what is there already is left out unless `--again`.
Each family of cases has a file of its own, `benchmarks/quantize_*.py`.
"""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from cases import Case, run_cases


def cases() -> Iterator[Case]:
    """All cases, one file after another."""
    for path in sorted(Path(__file__).parent.glob("quantize_*.py")):
        yield from import_module(path.stem).cases()


if __name__ == "__main__":
    run_cases("quantize", __doc__, cases)
