"""ResNet-20 on CIFAR-10: channels pruned over all layers at once, or trained small?

Four arms with three seeds: pruned and distilled, its architecture drawn anew with as many epochs
and with as much compute, and the plain network of as many bytes; some 100 epochs in all. A run that
is stopped goes on from `benchmarks/work/compare`.
"""

from collections.abc import Iterator
from functools import partial

from cases import Case
from rows import Row
from scoring import EXAMPLE, TARGET, WORK

import lilliput as lp
from lilliput.report import comparison_page
from lilliput.search.contest.comparison import Row as Arm

EPOCHS = 5
SEEDS = (0, 1, 2)
RATIO = 0.4


def compared(name: str, net: str, epochs: int, seeds: tuple[int, ...]) -> list[Row]:
    """Runs all arms; a few numbers of each."""
    model, task = getattr(EXAMPLE, net)()
    recipe = [lp.PruneChannels(RATIO, is_global=True)]
    folder = WORK / "compare" / name
    found = lp.compare(
        model, task, recipe, TARGET, out=folder, epochs=epochs, seeds=seeds, tell=print
    )
    comparison_page(found, folder)
    if found.was_stopped:
        raise KeyboardInterrupt
    return [row for arm in (found.original, *found.rows) for row in rows_of_arm(name, arm)]


def rows_of_arm(case: str, arm: Arm) -> list[Row]:
    """What an arm scores, costs and is behind by."""
    measured = {
        "top-1": arm.test_metric,
        "top-1 of validation": arm.metric,
        "size": arm.size,
        "latency ratio": arm.latency_ratio,
        "pruned leads by": arm.lead,
    }
    rows = [
        Row(
            case,
            "lilliput",
            f"{arm.arm}: {quantity}",
            m.value,
            m.unit,
            m.method,
            m.low,
            m.high,
            m.samples,
        )
        for quantity, m in measured.items()
        if m is not None
    ]
    rows.append(Row(case, "lilliput", f"{arm.arm}: MACs", arm.macs, "1", "counted"))
    if arm.epochs is not None:
        rows.append(Row(case, "lilliput", f"{arm.arm}: epochs", arm.epochs, "1", "counted"))
    return rows


def cases() -> Iterator[Case]:
    """One net."""
    name = "resnet20-compare"
    yield Case(name, partial(compared, name, "resnet20", EPOCHS, SEEDS))
