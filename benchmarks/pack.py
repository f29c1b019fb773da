r"""The packed file: bytes beside xz and zstd, bits beside the entropy, and speed.

    apt-get install xz-utils zstd
    python benchmarks/pack.py --data DIR [--case PATTERN ...] [--again] [--list]

- `lossless NAME`: a finished file, packed and unpacked again, beside `xz -9e` and `zstd -19`; those
  of MLPerf Tiny, and int8 files of a ResNet-20 that was pruned or clustered here (`pack_files.py`).
  The same bytes come back.
- `integers NET STEP`: all weights of a trained network in tensors of more than 16,384, rounded with
  one step for each tensor (half its standard deviation, or one) or one for each row (its largest
  weight is 127), and coded. Beside it the order-0 entropy of each tensor, to which no table was
  added.
- `speed NET STEP`: one thread, in time of the processor, the median of runs; MB of what the weights
  take as fp32.
- `beside NET STEP`: the same integers in NNCodec's arithmetic coder, in an environment of its own:
  bytes in all, the worst tensor, and decoding in turns (`pack_beside.py`).

Rows go to `benchmarks/results/pack.json`.
"""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from cases import Case, run_cases
from pack_beside import SYSTEM, beside
from pack_files import FILES, path_of
from pack_nets import NETS, STEPS, state_of
from rows import Row
from threadpoolctl import threadpool_limits

from lilliput.pack import Packed, Quantized, load_packed, pack, pack_model, unpack

OTHERS = {"xz -9e": ("xz", "-9e", "-c"), "zstd -19": ("zstd", "-19", "-c")}
RUNS = 5


def size_elsewhere(command: tuple[str, ...], path: Path) -> int:
    """Bytes that another program makes of a file."""
    program = shutil.which(command[0])
    if program is None:
        raise SystemExit(f"{command[0]} is not installed; the first lines of this file say how")
    done = subprocess.run([program, *command[1:], str(path)], capture_output=True, check=True)
    return len(done.stdout)


def lossless(name: str) -> list[Row]:
    """A file packed, unpacked and compared, beside what others make of it."""
    path = path_of(name)
    size = path.stat().st_size
    with tempfile.TemporaryDirectory() as folder:
        packed = pack(path, Path(folder) / "packed.lil")
        if (
            unpack(Packed.open(packed.path), Path(folder) / "back").read_bytes()
            != path.read_bytes()
        ):
            raise SystemExit(f"{path.name} does not come back")
        found = {"lilliput": packed.path.stat().st_size}
    found |= {system: size_elsewhere(command, path) for system, command in OTHERS.items()}
    case = f"lossless {name}"
    return [
        row
        for system, count in found.items()
        for row in (
            Row(case, system, "size", count, "B", "measured"),
            Row(case, system, "file / size", size / count, "1", "measured"),
        )
    ]


def entropy_bits(values: npt.NDArray[np.int32]) -> float:
    """Of a tensor's integers, each by itself."""
    counts = np.unique(values, return_counts=True)[1]
    return float(counts @ np.log2(counts.sum() / counts))


def integers(net: str, step: str) -> list[Row]:
    """Bits per weight, the header too, and the order-0 entropy of the same integers."""
    state = state_of(net, step)
    arrays = {k: v.integers.numpy() for k, v in state.items() if isinstance(v, Quantized)}
    count = sum(array.size for array in arrays.values())
    ideal = sum(entropy_bits(array) for array in arrays.values())
    with tempfile.TemporaryDirectory() as folder:
        packed = pack_model(state, Path(folder) / "net.lil")
        opened = load_packed(packed.path)
        for name, array in arrays.items():
            back = opened.quantized(name)
            if back is None or not np.array_equal(back.integers.numpy(), array):
                raise SystemExit(f"{name} does not come back")
        size = packed.path.stat().st_size
        worst = max(
            8 * entry.stored_bytes / entropy_bits(arrays[entry.name])
            for entry in packed.contents.entries
        )
    case = f"integers {net}, {step}"
    return [
        Row(
            case, "lilliput", "bits per weight", 8 * size / count, "bit", "measured", samples=count
        ),
        Row(case, "lilliput", "bits / entropy", 8 * size / ideal, "1", "measured", samples=count),
        Row(case, "lilliput", "worst tensor", worst, "1", "measured", samples=len(arrays)),
        Row(case, "order-0 entropy", "bits per weight", ideal / count, "bit", "estimated"),
    ]


def timed(work: Callable[[], object]) -> Iterator[float]:
    """Seconds of the processor that each run takes; threads of BLAS would count while they wait."""
    with threadpool_limits(1):
        work()
        for _ in range(RUNS):
            start = time.process_time()
            work()
            yield time.process_time() - start


def speed(net: str, step: str) -> list[Row]:
    """MB of fp32 a second, coded and written, and read and decoded to integers."""
    torch.set_num_threads(1)
    state = state_of(net, step)
    megabytes = 4e-6 * sum(v.integers.numel() for v in state.values() if isinstance(v, Quantized))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.lil"
        encode = sorted(megabytes / s for s in timed(partial(pack_model, state, path)))
        opened = load_packed(path, most_bytes=1 << 40)
        decode = sorted(
            megabytes / s for s in timed(lambda: [opened.quantized(name) for name in opened])
        )
    case = f"speed {net}, {step}"
    return [
        Row(case, "lilliput", name, found[RUNS // 2], "MB/s", "measured", found[0], found[-1], RUNS)
        for name, found in (("encode", encode), ("decode", decode))
    ]


def cases() -> Iterator[Case]:
    """All that is measured."""
    for name in FILES:
        yield Case(f"lossless {name}", partial(lossless, name))
    for step in STEPS:
        for net in NETS:
            yield Case(f"integers {net}, {step}", partial(integers, net, step))
            yield Case(f"beside {net}, {step}", partial(beside, net, step), SYSTEM)
        for net in ("resnet56", "lite0"):
            yield Case(f"speed {net}, {step}", partial(speed, net, step))


if __name__ == "__main__":
    run_cases("pack", __doc__ or "", cases)
