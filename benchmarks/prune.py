"""Pruned and reshaped networks, and what each technique buys: every file scored in its own runtime.

    python benchmarks/prune.py --data DIR [--case PATTERN ...] [--again] [--list]

Rows go to `benchmarks/results/prune.json`; what is there already is left out unless `--again`.
Training goes on from its last checkpoint in `benchmarks/work`. Each family of cases has a file of
its own, `benchmarks/prune_*.py`.
"""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from cases import Case, run_cases


def cases() -> Iterator[Case]:
    """All cases, one file after another."""
    for path in sorted(Path(__file__).parent.glob("prune_*.py")):
        yield from import_module(path.stem).cases()


if __name__ == "__main__":
    run_cases("prune", __doc__, cases)
