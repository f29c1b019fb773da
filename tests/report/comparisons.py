"""A comparison made up for tests, from no run."""

from dataclasses import replace

from lilliput.core import Measurement
from lilliput.search.contest.comparison import Comparison, LeftOut, Row, Run


def measured(quantity, value, low=None, high=None, unit="Accuracy"):
    return Measurement(quantity, value, unit, "measured", "here", 3, low, high)


def row(arm, epochs, scores, lead=None, size=50_000.0):
    mean = sum(scores) / len(scores)
    runs = tuple(Run(i, f"{arm}-{i}", f"id{i}", f"sha{i}", s, s) for i, s in enumerate(scores))
    return Row(
        arm,
        epochs,
        1_000_000,
        measured("size", size, unit="B"),
        measured("metric", mean, mean - 0.02, mean + 0.02),
        measured("test_metric", mean, mean - 0.01, mean + 0.01),
        measured("latency_ratio", 0.5, 0.45, 0.55, unit="1"),
        None if lead is None else measured("lead", *lead),
        runs,
    )


def made_up(**changes):
    """Pruning leads two arms beyond chance and one within it."""
    rows = (
        replace(row("pruned", 10, [0.92, 0.92, 0.92]), note="every seed gave the <same> file"),
        row("scratch, same epochs", 10, [0.89, 0.90, 0.91], (0.02, 0.01, 0.03)),
        row("scratch, same compute", 25, [0.91, 0.92, 0.915], (0.005, -0.001, 0.011)),
        row("narrower", 26, [0.88, 0.90, 0.89], (0.03, 0.02, 0.04), 49_000.0),
    )
    values = {
        "task": "digits <b>",
        "metric": "Accuracy",
        "higher_is_better": True,
        "target": "onnxruntime-cpu",
        "seeds": (0, 1, 2),
        "is_taught": True,
        "recipe": '[[pass]]\nname = "PruneChannels"\n',
        "original": row("original", None, [0.93], size=150_000.0),
        "rows": rows,
        "left_out": (LeftOut("narrower", 1, "the loss is <nan>"),),
    }
    return Comparison(**{**values, **changes})
