"""Families made up for tests, from no run."""

from dataclasses import replace
from pathlib import Path

from lilliput.core import Artifact, Measurement
from lilliput.registry import Family, Skipped, Variant

DEVICE = "x86-64, 1 thread"
UNITS = {"size": "B", "peak_ram": "B", "flash": "B", "latency": "ms"}


def measured(quantity, value, low=None, high=None):
    low, high = (None if end is None else float(end) for end in (low, high))
    unit = UNITS.get(quantity, "1")
    return Measurement(quantity, float(value), unit, "measured", DEVICE, 2000, low, high)


def variant(name, target, folder, *, parent=None, recipe="", details=None, **numbers):  # noqa: PLR0913
    """A variant with the numbers given: quantity=value or quantity=(value, low, high)."""
    path = Path(folder) / f"{name}-{target}.onnx"
    measurements = []
    for quantity, number in numbers.items():
        value, low, high = number if isinstance(number, tuple) else (number, None, None)
        measurements.append(measured(quantity, value, low, high))
    return Variant(
        id=f"{abs(hash((name, target))):016x}"[:12],
        key=f"{name}/{target}",
        name=name,
        target=target,
        artifact=Artifact(path, "onnx", "0" * 64),
        measurements=tuple(measurements),
        recipe=recipe,
        parent=parent,
        seed=0,
        created="2026-01-02T03:04:05",
        details=details or {},
    )


def layers(share, with_ms=False):
    """Layers of a small ResNet, with a share of the original's channels."""
    rows = []
    for index in range(19):
        stage = min(index // 7, 2)
        width = int(16 * 2**stage * share)
        name = (
            "conv1" if index == 0 else f"layer{stage + 1}.{index % 3}.conv{1 + index % 2}.{index}"
        )
        row = {
            "name": name,
            "operator": "conv2d",
            "parameters": 9 * width * width,
            "macs": 9 * width * width * (32 // 2**stage) ** 2,
            "weight_bytes": 36 * width * width,
            "moved_bytes": 4 * width * 1024,
        }
        rows.append({**row, "ms": 0.01 * share * (index + 1)} if with_ms else row)
    head = {"name": "linear", "operator": "linear", "parameters": 650, "macs": 640}
    return [*rows, {**head, "weight_bytes": 2600, "moved_bytes": 300}]


RECIPE = """[[pass]]
name = "PruneChannels"
ratio = { "layer1.0.conv1" = 0.4, "layer2" = 0.25 }

[[pass]]
name = "Distill"
epochs = 12
temperature = 4.0

[[pass]]
name = "QuantizeStatic"
"""


def steps(ratio, epochs):
    return [
        {"name": "PruneChannels", "settings": {"ratio": ratio}, "seconds": 0.4, "stage": "prune"},
        {"name": "Distill", "settings": {"epochs": epochs}, "seconds": 95.2, "stage": "train"},
        {"name": "QuantizeStatic", "settings": {"samples": 512}, "seconds": 3, "stage": "quantize"},
    ]


def share_family(folder):
    """Two targets, an accuracy, all kinds of measurements, everything noted."""
    variants = []
    for target, slow in (("onnxruntime-cpu", 1.0), ("litert-cpu", 1.35)):
        original = variant(
            "original",
            target,
            folder,
            metric=(0.9173, 0.905, 0.9285),
            drop=(0.0, 0.0, 0.0),
            test_metric=(0.9161, 0.910, 0.922),
            test_drop=(0.0, 0.0, 0.0),
            size=1_098_000,
            latency=(2.41 * slow, 2.30 * slow, 2.71 * slow),
            latency_ratio=(1.0, 0.98, 1.02),
            latency_ratio_eager=(0.41, 0.38, 0.45),
            peak_ram=61_000_000,
            details={"layers": layers(1.0)},
        )
        variants.append(original)
        for index, (name, metric, size, time) in enumerate(
            [
                ("int8-minmax", 0.9142, 301_000, 0.46),
                ("int8-mse", 0.9151, 301_000, 0.47),
                ("pruned-70", 0.9102, 214_000, 0.36),
                ("pruned-50", 0.8991, 152_000, 0.27),
                ("pruned-35", 0.8702, 101_000, 0.21),
                ("float-pruned", 0.9121, 642_000, 1.22),
                ("int8-4bit <b>x</b>", 0.4301, 152_000, 0.46),
            ]
        ):
            drop = 0.9173 - metric
            is_final = index in {0, 2, 3}
            numbers = {
                "metric": (metric, metric - 0.012, metric + 0.012),
                "drop": (drop, drop - 0.004, drop + 0.004),
                "size": size * (1.02 if slow > 1 else 1.0),
                "latency": (2.41 * time * slow, 2.3 * time * slow, 2.75 * time * slow),
                "latency_ratio": (time, time * 0.95, time * 1.06),
                "latency_ratio_eager": (time * 0.41, time * 0.38, time * 0.46),
                "peak_ram": 48_000_000,
                "parity": 0.0012,
            }
            if is_final:
                numbers |= {
                    "test_metric": (metric - 0.001, metric - 0.007, metric + 0.005),
                    "test_drop": (drop - 0.0005, drop - 0.0025, drop + 0.0015),
                }
            details = {"layers": layers(1 - 0.1 * index), "passes": steps(0.1 * index, 12)}
            variants.append(
                variant(
                    name,
                    target,
                    folder,
                    parent=original.id,
                    recipe=RECIPE,
                    details=details,
                    **numbers,
                )
            )
    groups = [f"layer{stage}.{block}.conv1" for stage in (1, 2, 3) for block in (0, 1, 2)]
    return Family(
        task="cifar10",
        metric="Accuracy",
        higher_is_better=True,
        variants=tuple(variants),
        skipped=(
            Skipped(
                "pruning to 20% of the MACs", "litert-cpu", "about 300 kB; the budget allows 250"
            ),
            Skipped("<script>alert(1)</script>", "onnxruntime-cpu", "a & b < c"),
        ),
        notes={
            "budget": {"drop": 0.01, "size": 250_000.0, "latency": 2.0},
            "machine": "x86_64 Linux",
            "layers": layers(1.0),
            "sensitivity": {
                group: {"0.25": 0.02 * i, "0.5": 0.07 * i, "0.75": 0.3 * i}
                for i, group in enumerate(groups)
            },
            "block_sensitivity": {group[:8]: {"1.0": 0.1 * i} for i, group in enumerate(groups)},
            "time_budget_s": 1800.0,
            "spent_s": 1712.3,
            "versions": {"lilliput": "0.1.0", "torch": "2.13.0"},
        },
        folder=Path(folder),
    )


def error_family(folder):
    """One target, a metric that is better when lower, no latency, no test data, no budget."""
    common = {"target": "onnxruntime-cpu", "folder": folder}
    original = variant("original", metric=12.4, drop=0.0, size=40_000, **common)
    small = variant(
        "int8",
        metric=(13.0, 12.8, 13.1),
        drop=(0.6, 0.4, 0.7),
        size=11_000,
        parent=original.id,
        **common,
    )
    return Family(
        task="regression",
        metric="MeanAbsoluteError",
        higher_is_better=False,
        variants=(original, small),
        skipped=(),
        notes={},
        folder=Path(folder),
    )


def with_variants(family, variants):
    return replace(family, variants=tuple(variants))
