r"""Networks trained for the packed file, beside what they were: rate in the loss, and sharing.

    python benchmarks/pack_train.py --data DIR [--case PATTERN ...] [--again] [--list]

- `lenet300`, `lenet5`: MNIST, trained here; `RatePenalty`, and Deep Compression (gradual pruning,
  16 shared values, trained on). Test images, which nothing was chosen on.
- `resnet20 pruned`: a block less and half the inner channels, distilled, then `QuantizeCoded`.
- `resnet56`, `vgg16`: CIFAR-10, each distilled from itself with `RatePenalty`; VGG-16 is trained
  here as `prune_vgg.py` says.

The packed file is opened and its tensors are loaded into the network, which is then scored in
float32. CIFAR rows are of test images 2,000 to 9,999, `top-1 of all` of all 10,000; drops are of
the same images, with paired intervals. Rows go to `benchmarks/results/pack_train.json`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import mnist
import numpy as np
import prune_mnist
import prune_vgg
import torch
from cases import Case, run_cases
from prune_seeds import ours as half
from remembered import remembered
from rows import Row
from scoring import EXAMPLE, WORK
from torch import nn
from variants import folder

import lilliput as lp
from lilliput.measure.intervals import mean as interval_of_mean
from lilliput.quantize.plain import plain_copy_of
from lilliput.train import SGD, OneCycle, Training

Passes = list[lp.Pass]
PLACE = WORK / "pack_train"


@dataclass(frozen=True, eq=False)
class Subject:
    """A network and what it is scored on.

    Args:
        model: As it was trained, in float32.
        test: Batches that nothing was chosen on.
        all: Those and what choices were made on, where others report them.
    """

    model: lp.Model
    test: object
    all: object | None = None


def lenet(name: str) -> Subject:
    """One of the two, trained."""
    return Subject(prune_mnist.trained(name), mnist.task().test)


def on_cifar(name: str) -> Subject:
    """A ResNet of CIFAR-10 as it was given, or the VGG-16 that is trained here."""
    model = prune_vgg.trained() if name == "vgg16" else getattr(EXAMPLE, name)()[0]
    parts = [
        EXAMPLE.Batches("test", first, 10_000, 250, is_augmented=False) for first in (2_000, 0)
    ]
    return Subject(model, *parts)


@torch.no_grad()
def right(module: nn.Module, batches: object) -> np.ndarray:
    """Which examples the network gets right."""
    found = [(module.eval()(x).argmax(1) == y).double() for x, y in batches]
    return torch.cat(found).numpy()


def rows_of(case: str, system: str, subject: Subject, small: lp.Model) -> list[Row]:
    """Size and score of the packed file, opened again."""
    place = PLACE / f"{case} {system}"
    place.mkdir(parents=True, exist_ok=True)
    found = []
    for smallest in (False, True):
        packed = lp.pack_model(small, place / "net.lil", smallest=smallest)
        found.append(packed.path.stat().st_size)
    opened = plain_copy_of(small).clone()
    opened.module.load_state_dict(dict(lp.load_packed(packed.path)))
    whole = sum(p.numel() for p in subject.model.module.parameters()) * 4
    rows = [
        Row(case, system, "size", found[0], "B", "measured"),
        Row(case, system, "size with --max", found[1], "B", "measured"),
        Row(case, system, "float32 weights / size", whole / found[0], "1", "measured"),
    ]
    scored = {"top-1": subject.test, "top-1 of all": subject.all}
    for quantity, batches in scored.items():
        if batches is None:
            continue
        before, after = right(subject.model.module, batches), right(opened.module, batches)
        pairs = {f"float {quantity}": before, quantity: after}
        if quantity == "top-1":
            pairs["drop"] = before - after
        for name, values in pairs.items():
            interval = interval_of_mean(values)
            mean, ends = float(values.mean()), (interval.low, interval.high)
            rows.append(Row(case, system, name, mean, "1", "measured", *ends, len(values)))
    return rows


def trained(
    case: str,
    system: str,
    subject: Callable[[], Subject],
    passes: Callable[[lp.Model], Passes],
) -> list[Row]:
    """Runs passes on a subject, and measures what comes out."""
    who = subject()
    return rows_of(case, system, who, lp.run(who.model, passes(who.model)))


def rate_lenet(name: str, bits: float, model: lp.Model) -> Passes:
    """Taught by itself, little by little with fewer bits."""
    net = prune_mnist.NETS[name]
    learn = lp.Distill(
        mnist.task(),
        model,
        epochs=20,
        learning_rate=net.rate,
        temperature=2.0,
        training=Training(optimizer=SGD(weight_decay=0), schedule=OneCycle()),
        hooks=(lp.RatePenalty(bits),),
        checkpoint=PLACE / f"{name}-{bits}",
    )
    return [lp.QuantizeCodedAware(1.0), learn, lp.SettleCoded()]


def shared_lenet(name: str, times: int, _: lp.Model) -> Passes:
    """Deep Compression: prune, share, train what is shared."""
    net = prune_mnist.NETS[name]
    prune = lp.GradualPruning(1 - 1 / times, end=0.6)
    learn = partial(prune_mnist.training, mnist.task())
    return [
        lp.PruneWeights(0.0),
        learn(net, hooks=(prune,), checkpoint=PLACE / f"{name}-pruned-{times}"),
        lp.ClusterWeights(16),
        lp.FineTune(
            mnist.task(), epochs=3, learning_rate=net.rate / 50, checkpoint=PLACE / f"{name}-shared"
        ),
    ]


@dataclass(frozen=True)
class Rate:
    """How a network of CIFAR-10 learns to take few bits.

    Args:
        bits: For each weight, in the end.
        epochs: In all.
        learning_rate: At first.
        step: Of `QuantizeCodedAware`.
        mixing: Of images.
    """

    bits: float
    epochs: int
    learning_rate: float
    step: float
    mixing: lp.CutMix | None = None


RATES = {
    "resnet56": (Rate(0.95, 20, 0.03, 0.7, lp.CutMix(0.5)),),
    "vgg16": (Rate(0.26, 4, 0.05, 1.0), Rate(0.31, 9, 0.05, 1.0)),
}


def rate_on_cifar(name: str, how: Rate, model: lp.Model) -> Passes:
    """Distilled from itself, with fewer and fewer bits."""
    learn = lp.Distill(
        EXAMPLE.task(),
        remembered(model, name),
        epochs=how.epochs,
        learning_rate=how.learning_rate,
        temperature=4.0,
        alpha=0.9 if how.mixing is None else 1.0,
        mixing=how.mixing,
        training=Training(optimizer=SGD(weight_decay=5e-4)),
        hooks=(lp.RatePenalty(how.bits),),
        checkpoint=PLACE / f"{name}-{how.bits}-{how.epochs}",
    )
    return [lp.QuantizeCodedAware(how.step), learn, lp.SettleCoded()]


def coded_pruned(most_bytes: int, model: lp.Model) -> Passes:
    """A block less and half the inner channels, taught as `prune.py` does; then rounded."""
    _, task = EXAMPLE.resnet20()
    seen = EXAMPLE.Batches("test", 0, 2_000, 100, is_augmented=False)
    return [
        lambda whole: half(whole, WORK),
        lp.DistillLayers(task, model, samples=4096, steps=600, batch=64),
        lp.Distill(
            task,
            remembered(model, "resnet20"),
            epochs=8,
            learning_rate=0.02,
            training=Training(optimizer=SGD(weight_decay=5e-4)),
            checkpoint=folder("resnet20-2x-taught-lilliput") / "0",
        ),
        lp.QuantizeCoded(
            replace(task, train=seen, validation=seen), max_bytes=most_bytes, samples=500
        ),
    ]


def cases() -> Iterator[Case]:
    """Small networks first."""
    made: list[tuple[str, str, Callable[[], Subject], Callable[[lp.Model], Passes]]] = []
    for name, bits, times in (("lenet300", 0.25, 12), ("lenet5", 0.12, 25)):
        of = partial(lenet, name)
        made.append((name, f"rate of {bits} bits", of, partial(rate_lenet, name, bits)))
        made.append((name, "Deep Compression", of, partial(shared_lenet, name, times)))
    of = partial(on_cifar, "resnet20")
    made.append(("resnet20 pruned", "QuantizeCoded", of, partial(coded_pruned, 54_000)))
    for name, rates in RATES.items():
        for rate in rates:
            how, passes = f"rate of {rate.bits} bits", partial(rate_on_cifar, name, rate)
            made.append((name, how, partial(on_cifar, name), passes))
    for name, how, subject, passes in made:
        system = f"lilliput, {how}"
        yield Case(name, partial(trained, name, system, subject, passes), system)


if __name__ == "__main__":
    run_cases("pack_train", __doc__ or "", cases)
