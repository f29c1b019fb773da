"""ResNet-20 and ResNet-56 on CIFAR-10, made small and scored in the file that ships.

    python benchmarks/cifar10.py --data DIR [--case NAME ...] [--again]

Choices were made on test images 0 to 1,999; `top-1` is of images 2,000 to 9,999, `top-1 of all` of
all 10,000. Training goes on from its last checkpoint in `benchmarks/work`; a case whose rows are
there already is left out unless `--again`.
"""

import argparse
import importlib.util
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from rows import Row, read, save

import lilliput as lp
from lilliput.core.data import set_data_dir
from lilliput.core.progress import shown
from lilliput.prune import RemoveBlocks
from lilliput.train import SGD, Training

HERE = Path(__file__).parent
WORK = HERE / "work"
TARGET = lp.get_target("onnxruntime-cpu")


def example():
    """`examples/cifar10.py` as a module."""
    spec = importlib.util.spec_from_file_location("cifar10", HERE.parent / "examples/cifar10.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def halved(net: str) -> dict[str, float]:
    """Half of the inner channels of the last stage, whose weights are most of the bytes."""
    model = getattr(EXAMPLE, net)()[0]
    names = [group.name for group in lp.channel_groups(lp.trace(model)).groups]
    return {name: 0.5 for name in names if name.startswith("layer3") and name.endswith("conv1")}


def small(net: str, blocks: tuple[str, ...], epochs: int) -> Callable:
    """Fewer blocks, half the width in the last stage, distilled from ResNet-56, then int8."""

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
            lp.PruneChannels(ratios, importance=lp.Magnitude()),
            lp.Distill(
                task,
                teacher,
                epochs=epochs,
                learning_rate=0.1,
                temperature=4.0,
                alpha=0.9,
                training=training,
                checkpoint=WORK / f"{net}-small",
            ),
            lp.QuantizeStatic(TARGET.rules, task),
        ]

    return build


def int8(observer) -> Callable:
    """The whole network in int8, without training."""
    return lambda task: [lp.QuantizeStatic(TARGET.rules, task, observer=observer)]


def cases() -> dict[str, tuple[str, Callable]]:
    """What is measured: name, network, and the passes for a task."""
    found: dict[str, tuple[str, Callable]] = {}
    for net in ("resnet20", "resnet56"):
        found[f"{net}-float"] = (net, lambda _: [])
        for observer in (lp.MinMax(), lp.Percentile(), lp.MeanSquaredError(), lp.Entropy()):
            found[f"{net}-int8-{type(observer).__name__}"] = (net, int8(observer))
    # removed one by one, each time the block whose absence raised the validation loss least, until
    # the file was 8 times smaller and 8 times faster with random weights
    gone20 = ("layer1.0", "layer1.1", "layer3.2")
    gone56 = ("layer1.0", "layer1.4", "layer1.5", "layer1.8", "layer2.2", "layer2.4", "layer3.3", "layer3.8")
    found["resnet20-small"] = ("resnet20", small("resnet20", gone20, 45))
    found["resnet56-small"] = ("resnet56", small("resnet56", gone56, 22))
    return found


def float_reference(net: str, model: lp.Model) -> lp.Reference:
    """The original's own ONNX file, and its PyTorch archive for the eager times."""
    folder = WORK / f"{net}-float"
    folder.mkdir(parents=True, exist_ok=True)
    eager = folder / "original.pt2"
    torch.export.save(lp.trace(model).program, eager)
    return lp.Reference(lp.export(model, TARGET, folder), eager)


def softmax(artifact: lp.Artifact, images: torch.Tensor) -> np.ndarray:
    """Class probabilities of the file's own outputs."""
    run = lp.load(artifact.path, artifact.format)
    outputs = np.concatenate([run((part.numpy(),))[0] for part in images.split(250)])
    exponents = np.exp(outputs - outputs.max(1, keepdims=True))
    return exponents / exponents.sum(1, keepdims=True)


def measure_case(name: str, net: str, passes: Callable) -> list[Row]:
    """All rows of one case."""
    model, task = getattr(EXAMPLE, net)()
    reference = float_reference(net, model)
    with shown():
        compressed = lp.run(model, passes(task))
        artifact = lp.export(compressed, TARGET, WORK / name)
        everything = replace(task, test=EXAMPLE.Batches("test", 0, 10_000, 250, is_augmented=False))
        everything = replace(everything, fingerprint="cifar10-all")
        on_validation = lp.measure(artifact, TARGET, task, reference)
        on_test = lp.measure_test(artifact, TARGET, task, reference)
        on_all = lp.measure_test(artifact, TARGET, everything, reference)
    pixels, labels = EXAMPLE.images("test")
    images = EXAMPLE.normalise(pixels)
    ours, float_ = softmax(artifact, images), softmax(reference.artifact, images)
    kl = (float_ * (np.log(float_ + 1e-12) - np.log(ours + 1e-12))).sum(1)
    rows = [
        Row(name, "lilliput", "KL to the float softmax", float(kl.mean()), "nats", "measured", samples=len(kl)),
        Row(name, "lilliput", "agreement", float((ours.argmax(1) == float_.argmax(1)).mean()), "1", "measured", samples=len(kl)),
        Row(name, "lilliput", "float size / size", reference.artifact.size_bytes / artifact.size_bytes, "1", "measured"),
    ]
    renamed = {"test_metric": "top-1", "test_drop": "drop"}
    for label, found in (("", on_validation), ("", on_test), (" of all", on_all)):
        for m in found:
            quantity = renamed.get(m.quantity, m.quantity) + label
            rows.append(Row(name, "lilliput", quantity, m.value, m.unit, m.method, m.low, m.high, m.samples))
    return rows


def main() -> None:
    """Measures the cases asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
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
            for row in rows:
                print(f"{name:28} {row.quantity:26} {row.value:12.5g} {row.unit}", flush=True)


EXAMPLE = example()

if __name__ == "__main__":
    main()
