"""ResNet-56 with bits layer by layer under a budget, and ResNet-20 with weights that share values.

Everything is chosen on test images 0 to 1,999; `top-1` is of images
2,000 to 9,999.
"""

from collections.abc import Callable, Iterator
from functools import cache, partial

from cases import Case
from rows import Row
from scoring import EXAMPLE, TARGET, WORK, float_reference, rows_of

import lilliput as lp
from lilliput.quantize import Allotment, BitSensitivity
from lilliput.train import SGD, Training

Passes = Callable[[lp.Task], list[lp.Pass]]
STORED = (8, 4, 2)
"""Widths that the file holds; three bits lie in four."""
AVERAGES = (2.25, 2.5, 2.75, 3.0, 3.5, 4.0)


@cache
def reference(net: str) -> lp.Reference:
    """The float file."""
    return float_reference(net, getattr(EXAMPLE, net)()[0])


@cache
def sensitivity(bits: tuple[int, ...]) -> BitSensitivity:
    """Of ResNet-56, measured once for all budgets."""
    model, task = EXAMPLE.resnet56()
    return lp.bit_sensitivity(model, task, TARGET.rules, bits)


def weights() -> int:
    """How many weights of ResNet-56 are quantized."""
    return sum(sensitivity(STORED).counts.values())


def made(case: str, net: str, passes: Passes) -> list[Row]:
    """Runs a recipe, exports and measures."""
    model, task = getattr(EXAMPLE, net)()
    artifact = lp.export(lp.run(model, passes(task)), TARGET, WORK / case)
    return rows_of(case, "lilliput", artifact, task, reference(net))


def with_bits(precision: lp.Precision) -> Passes:
    """Static quantization with these bits, rounded by what layers read; no training."""
    return lambda task: [
        lp.QuantizeStatic(TARGET.rules, task, observer=lp.MeanSquaredError(), precision=precision),
        lp.RoundSecondOrder(task),
    ]


def trained_with_bits(precision: lp.Precision, epochs: int) -> Passes:
    """The same, but trained with its quantizers, whose steps are learned."""
    return lambda task: [
        lp.QuantizeAware(
            TARGET.rules,
            task,
            observer=lp.MeanSquaredError(),
            precision=precision,
            learns_scales=True,
        ),
        lp.Distill(
            task,
            EXAMPLE.resnet56()[0],
            epochs=epochs,
            learning_rate=0.002,
            temperature=4.0,
            alpha=0.9,
            training=Training(optimizer=SGD(weight_decay=1e-4), clip_norm=1.0),
            checkpoint=WORK / f"resnet56-mixed-trained-{epochs}",
        ),
    ]


def mixed(case: str, allotment: Callable[[], Allotment], epochs: int = 0) -> list[Row]:
    """ResNet-56 with the bits of an allotment; how many they are, both ways."""
    chosen = allotment()
    precision = chosen.precision
    passes = trained_with_bits(precision, epochs) if epochs else with_bits(precision)
    stored = 8 * chosen.weight_bytes / weights()
    return [
        *made(case, "resnet56", passes),
        Row(case, "lilliput", "bits of a weight", chosen.average_bits, "bit", "measured"),
        Row(case, "lilliput", "bits of a weight in the file", stored, "bit", "measured"),
        Row(case, "lilliput", "sum of the layers' KL", chosen.loss, "nats", "predicted"),
    ]


def average(bits: float) -> Allotment:
    """Three bits count as three."""
    return lp.allot_bits(sensitivity((8, 4, 3, 2)), lp.AverageBits(bits))


def stored(bits: float) -> Allotment:
    """So many bits in the file."""
    return lp.allot_bits(sensitivity(STORED), lp.WeightBytes(int(bits * weights() / 8)))


def cluster(passes: lp.ClusterWeights | None, epochs: int, case: str) -> Passes:
    """Weights that share values, and the values trained."""

    def build(task: lp.Task) -> list[lp.Pass]:
        found: list[lp.Pass] = [passes or lp.ClusterWeights(task=task, samples=512)]
        if epochs:
            training = Training(optimizer=SGD(weight_decay=0.0))
            found.append(
                lp.Distill(
                    task,
                    EXAMPLE.resnet20()[0],
                    epochs=epochs,
                    learning_rate=0.001,
                    temperature=4.0,
                    alpha=0.9,
                    training=training,
                    checkpoint=WORK / case,
                )
            )
        return found

    return build


def cases() -> Iterator[Case]:
    """Budgets of bits, then palettes."""
    name = "resnet56-w3a8"
    yield Case(name, partial(made, name, "resnet56", with_bits(lp.Precision({"*": 3}))))
    for bits in AVERAGES:
        name = f"resnet56-mixed-{bits:g}"
        yield Case(name, partial(mixed, name, partial(average, bits)))
        name = f"resnet56-mixed-{bits:g}-in-the-file"
        yield Case(name, partial(mixed, name, partial(stored, bits)))
    for bits, epochs in ((2.5, 4), (3.0, 4)):
        name = f"resnet56-mixed-{bits:g}-in-the-file-trained-{epochs}"
        yield Case(name, partial(mixed, name, partial(stored, bits), epochs))
    palettes = {
        "": lp.ClusterWeights(),
        "-by-channel": lp.ClusterWeights(is_per_channel=True),
        "-weighed": None,
    }
    for kind, pass_ in palettes.items():
        for epochs in (0, 1):
            name = f"resnet20-palette16{kind}" + (f"-trained-{epochs}" if epochs else "")
            yield Case(name, partial(made, name, "resnet20", cluster(pass_, epochs, name)))
