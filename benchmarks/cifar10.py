"""ResNet-20 and ResNet-56 on CIFAR-10, made small and scored in the file that ships.

    python benchmarks/cifar10.py --data DIR [--case NAME ...] [--again]

Choices were made on test images 0 to 1,999; `top-1` is of images 2,000 to 9,999, `top-1 of all` of
all 10,000. Training goes on from its last checkpoint in `benchmarks/work`; a case whose rows are
there already is left out unless `--again`.
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from rows import Row, read, save
from scoring import EXAMPLE, TARGET, WORK, float_reference, rows_of, show

import lilliput as lp
from lilliput.core.data import set_data_dir
from lilliput.core.progress import shown
from lilliput.prune import FilterNorm, RemoveBlocks
from lilliput.quantize import Observer
from lilliput.train import SGD, Training

Passes = Callable[[lp.Task], list[lp.Pass]]


def halved(net: str) -> dict[str, float]:
    """Half of the inner channels of the last stage, whose weights are most of the bytes."""
    model = getattr(EXAMPLE, net)()[0]
    names = [group.name for group in lp.channel_groups(lp.trace(model)).groups]
    return {name: 0.5 for name in names if name.startswith("layer3") and name.endswith("conv1")}


def small(net: str, blocks: tuple[str, ...], stages: tuple[tuple[int, float], ...]) -> Passes:
    """Fewer blocks, half the width in the last stage, distilled from ResNet-56, then int8.

    Each of `stages`, epochs and learning rate, is a training of its own: the learning rate starts
    again (Loshchilov and Hutter 2017).
    """

    def build(task: lp.Task) -> list[lp.Pass]:
        ratios = {
            name: ratio
            for name, ratio in halved(net).items()
            if not name.startswith(tuple(f"{block}." for block in blocks))
        }
        training = Training(optimizer=SGD(weight_decay=5e-4))
        teacher = EXAMPLE.resnet56()[0]
        return [
            RemoveBlocks(blocks),
            lp.PruneChannels(ratios, importance=FilterNorm()),
            *(
                lp.Distill(
                    task,
                    teacher,
                    epochs=count,
                    learning_rate=rate,
                    temperature=4.0,
                    alpha=0.9,
                    training=training,
                    checkpoint=WORK / (f"{net}-small-{index}" if index else f"{net}-small"),
                )
                for index, (count, rate) in enumerate(stages)
            ),
            lp.QuantizeStatic(TARGET.rules, task, observer=lp.MeanSquaredError()),
        ]

    return build


def int8(observer: Observer) -> Passes:
    """The whole network in int8, without training."""
    return lambda task: [lp.QuantizeStatic(TARGET.rules, task, observer=observer)]


def rounded(bits: dict[str, int]) -> Passes:
    """The whole network with weights of so many bits, rounded by what layers read; no training."""
    return lambda task: [
        lp.QuantizeStatic(
            TARGET.rules,
            task,
            observer=lp.MeanSquaredError(),
            precision=lp.Precision(bits),
        ),
        lp.RoundSecondOrder(task),
    ]


def shallow(net: str, blocks: tuple[str, ...], epochs: int) -> Passes:
    """Fewer blocks, distilled from ResNet-56 for a little while, then weights of four bits."""

    def build(task: lp.Task) -> list[lp.Pass]:
        return [
            RemoveBlocks(blocks),
            lp.Distill(
                task,
                EXAMPLE.resnet56()[0],
                epochs=epochs,
                learning_rate=0.02,
                temperature=4.0,
                alpha=0.9,
                training=Training(optimizer=SGD(weight_decay=5e-4)),
                checkpoint=WORK / f"{net}-shallow",
            ),
            *rounded({"*": 4})(task),
        ]

    return build


def cases() -> dict[str, tuple[str, Passes]]:
    """What is measured: name, network, and the passes for a task."""
    found: dict[str, tuple[str, Passes]] = {}
    for net in ("resnet20", "resnet56"):
        found[f"{net}-float"] = (net, lambda _: [])
        for observer in (lp.MinMax(), lp.Percentile(), lp.MeanSquaredError(), lp.Entropy()):
            found[f"{net}-int8-{type(observer).__name__}"] = (net, int8(observer))
        found[f"{net}-int8-rounded"] = (net, rounded({"*": 8}))
        found[f"{net}-w4a8"] = (net, rounded({"*": 4}))
    # the last blocks are the largest and bear two bits best
    two20 = {"*": 4, "layer3.2.*": 2}
    two56 = {"*": 4, "layer3.7.*": 2, "layer3.8.*": 2}
    found["resnet20-w4w2a8"] = ("resnet20", rounded(two20))
    found["resnet56-w4w2a8"] = ("resnet56", rounded(two56))
    # removed one by one, each time the block whose absence raised the validation loss least, until
    # the file was 8 times smaller and 8 times faster with random weights
    gone20 = ("layer1.0", "layer1.1", "layer3.2")
    gone56 = (
        *("layer1.0", "layer1.4", "layer1.5", "layer1.8"),
        *("layer2.2", "layer2.4", "layer3.3", "layer3.8"),
    )
    gone = ("layer1.0", "layer1.4", "layer1.5", "layer2.2", "layer2.4", "layer3.8")
    found["resnet56-w4a8-shallow"] = ("resnet56", shallow("resnet56", gone, 6))
    found["resnet20-small"] = (
        "resnet20",
        small("resnet20", gone20, ((18, 0.05), (14, 0.05), (5, 0.02))),
    )
    found["resnet56-small"] = ("resnet56", small("resnet56", gone56, ((20, 0.05),)))
    return found


def measure_case(name: str, net: str, passes: Passes) -> list[Row]:
    """All rows of one case."""
    model, task = getattr(EXAMPLE, net)()
    reference = float_reference(net, model)
    with shown():
        artifact = lp.export(lp.run(model, passes(task)), TARGET, WORK / name)
        return rows_of(name, "lilliput", artifact, task, reference)


def main() -> None:
    """Measures the cases asked for."""
    form = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--data", default=os.environ.get("LILLIPUT_DATA"), type=Path)
    parser.add_argument("--case", action="append", default=[])
    parser.add_argument("--again", action="store_true")
    arguments = parser.parse_args()
    if arguments.data is None:
        sys.exit("pass --data DIR: the folder that holds cifar10/ and cifar-resnets/")
    set_data_dir(arguments.data)
    done = {row.case for row in read("cifar10") if row.system == "lilliput"}
    for name, (net, passes) in cases().items():
        wanted = name in arguments.case if arguments.case else True
        if wanted and (arguments.again or name not in done):
            rows = measure_case(name, net, passes)
            save("cifar10", rows)
            show(rows)


if __name__ == "__main__":
    main()
