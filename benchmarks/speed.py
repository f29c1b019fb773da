"""How long Lilliput itself takes.

    python benchmarks/speed.py --data DIR

Imports are whole processes, in turn with `import torch`; the rest is one process, medians of runs.
"""

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rows import Row, save

HERE = Path(__file__).parent


def seconds(code: str) -> float:
    """A fresh interpreter running `code`, in seconds."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    return time.perf_counter() - start


def ratio(ours: str, theirs: str, runs: int) -> tuple[list[float], list[float]]:
    """Times of `ours` and ratios to `theirs`, one after the other."""
    seconds(ours), seconds(theirs)
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(runs)]
    return [a for a, _ in pairs], [a / b for a, b in pairs]


def row(case: str, quantity: str, unit: str, values: list[float]) -> Row:
    """The median with the smallest and largest value."""
    middle, low, high = statistics.median(values), min(values), max(values)
    return Row(case, "lilliput", quantity, middle, unit, "measured", low, high, len(values))


def imports() -> list[Row]:
    """`import lilliput` beside `import torch`, and `lilliput --help`."""
    times, ratios = ratio("import lilliput; lilliput.Model", "import torch", 7)
    bare, _ = ratio("import lilliput", "pass", 7)
    help_, _ = ratio(
        "import sys; sys.argv = ['lilliput', '--help']; from lilliput.cli import main\n"
        "try: main()\nexcept SystemExit: pass",
        "pass",
        7,
    )
    return [
        row("import lilliput; lilliput.Model", "time", "s", times),
        row("import lilliput; lilliput.Model", "ratio to import torch", "1", ratios),
        row("import lilliput", "time", "s", bare),
        row("lilliput --help", "time", "s", help_),
    ]


def resnet56(runs: int) -> list[Row]:
    """Trace, groups, and int8 with export of ResNet-56."""
    import lilliput as lp

    spec = importlib.util.spec_from_file_location("cifar10", HERE.parent / "examples/cifar10.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    model, task = example.resnet56()
    next(iter(task.train))  # reading the images is not what is timed
    target = lp.get_target("onnxruntime-cpu")
    traced, quantized = [], []
    for _ in range(runs + 1):  # the first run loads torch.export
        start = time.perf_counter()
        lp.channel_groups(lp.trace(model))
        traced.append(time.perf_counter() - start)
    for _ in range(runs):
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            lp.export(lp.run(model, [lp.QuantizeStatic(target.rules, task)]), target, folder)
        quantized.append(time.perf_counter() - start)
    return [
        row("ResNet-56", "trace and channel_groups", "s", traced[1:]),
        row("ResNet-56", "trace and channel_groups, first in a process", "s", traced[:1]),
        row("ResNet-56", "QuantizeStatic and ONNX export", "s", quantized),
    ]


def main() -> None:
    """Measures all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=os.environ.get("LILLIPUT_DATA"), type=Path)
    parser.add_argument("--runs", default=3, type=int)
    arguments = parser.parse_args()
    rows = imports()
    if arguments.data is None:
        print("ResNet-56 is left out: pass --data DIR", file=sys.stderr)
    else:
        from lilliput.core.data import set_data_dir

        set_data_dir(arguments.data)
        rows += resnet56(arguments.runs)
    save("speed", rows)
    for found in rows:
        spread = f"({found.low:.3f} to {found.high:.3f})"
        print(f"{found.case:34} {found.quantity:46} {found.value:8.3f} {found.unit}  {spread}")


if __name__ == "__main__":
    main()
