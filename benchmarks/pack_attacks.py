r"""A million damaged packed files: each is opened or refused, in time and within its budget.

    python benchmarks/pack_attacks.py [--count 1000000] [--jobs 1] [--updates]

Files, or updates, are made by number (`tests/attacks/`), most with checksums and digests mended,
and read by processes that may take no more memory than they have, the budget, and `SLACK` for the
reader itself. A run that was stopped goes on where it was. Whatever is neither opened nor refused
(another error, no memory, a second of the processor, a crash) ends the run, and its number is told.
Rows go to `benchmarks/results/pack.json`.
"""

import argparse
import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

HOME = Path(__file__).parent.parent
sys.path.insert(0, str(HOME))

from rows import Row, save  # noqa: E402
from scoring import WORK  # noqa: E402
from tests.attacks.attack import BUDGET, Outcome, Seeds, attack, attack_update  # noqa: E402

from lilliput.core import disk  # noqa: E402

BATCH = 5000
SLACK = 24 << 20
"""Bytes for LZMA's dictionary, one block, and what Python keeps."""
MOST_WALL_SECONDS = 900
"""After which a batch counts as hanging where no signal reaches it."""

Counts = dict[str, int]


def memory_bytes() -> int:
    """Address space that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


@dataclass(frozen=True)
class Kind:
    """What is attacked."""

    case: str
    run: Callable[[Seeds, int, Path], Outcome]


FILES, UPDATES = Kind("attacks", attack), Kind("attacks on updates", attack_update)


def batch(kind: Kind, seeds: Seeds, place: int, folder: Path, result: Path) -> None:
    """All files of a batch, one after another, in a process with a limit on its memory."""
    limit = memory_bytes() + BUDGET + SLACK
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    counts: Counter[str] = Counter()
    slowest = 0.0
    for number in range(place * BATCH, (place + 1) * BATCH):
        started = time.process_time()
        try:
            outcome = kind.run(seeds, number, folder)
        except BaseException:  # noqa: BLE001
            print(f"file {number}: {traceback.format_exc()}", file=sys.stderr, flush=True)
            os._exit(1)
        slowest = max(slowest, time.process_time() - started)
        counts[f"{outcome.mutation}: {outcome.reason}"] += 1
    result.write_text(json.dumps({"counts": counts, "slowest": slowest}))
    os._exit(0)


def started(kind: Kind, seeds: Seeds, place: int, folder: Path, out: Path) -> int:
    """The process of a batch."""
    child = os.fork()
    if not child:
        signal.alarm(MOST_WALL_SECONDS)
        own = folder / str(place)
        own.mkdir(exist_ok=True)
        batch(kind, seeds, place, own, out / f"{place}.part")
    return child


def run(kind: Kind, count: int, jobs: int, out: Path) -> None:
    """All batches that have no result yet."""
    disk.sync = lambda _: None  # nothing here must survive a power cut
    out.mkdir(parents=True, exist_ok=True)
    missing = iter([p for p in range(-(-count // BATCH)) if not (out / f"{p}.json").exists()])
    memory = Path("/dev/shm")  # noqa: S108
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        folder = Path(name)
        seeds = Seeds.made_in(folder)
        kind.run(seeds, 0, folder)  # compiles the decoder
        running = {started(kind, seeds, p, folder, out): p for _, p in zip(range(jobs), missing)}  # noqa: B905
        while running:
            child, status = os.wait()
            place = running.pop(child)
            if status:
                sys.exit(f"batch {place}, from file {place * BATCH:,} on, ended with {status}")
            (out / f"{place}.part").replace(out / f"{place}.json")
            if (following := next(missing, None)) is not None:
                running[started(kind, seeds, following, folder, out)] = following


def rows(kind: Kind, out: Path) -> Iterator[Row]:
    """How many files were opened, and how many refused for which reason."""
    found = [json.loads(path.read_text()) for path in sorted(out.glob("*.json"))]
    reasons: Counter[str] = Counter()
    for one in found:
        for name, count in one["counts"].items():
            reasons[name.rsplit(": ", 1)[1]] += count
    whole = sum(reasons.values())
    for reason, count in reasons.most_common():
        quantity = reason if reason == "opened" else f"refused: {reason}"
        yield Row(kind.case, "lilliput", quantity, count, "files", "measured", samples=whole)
    slowest = max(one["slowest"] for one in found)
    yield Row(kind.case, "lilliput", "slowest", slowest, "s", "measured", samples=whole)


def main() -> None:
    """Runs what is missing, and writes the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--updates", action="store_true", help="attack updates instead")
    parser.add_argument("--out", type=Path, default=WORK, help="where results so far are")
    arguments = parser.parse_args()
    kind = UPDATES if arguments.updates else FILES
    out = arguments.out / kind.case.replace(" ", "-")
    run(kind, arguments.count, arguments.jobs, out)
    found = list(rows(kind, out))
    save("pack", found)
    for row in found:
        print(f"{row.quantity:44} {row.value:12,.3f} {row.unit}")


if __name__ == "__main__":
    main()
