"""Latency against width: ResNet-20 at every width from 4/8/16 to 16/32/64, timed in one run.

Kernels work on blocks of channels, so MACs say little, which is what `channel_multiple` and
`NarrowToLatency` are for. Nothing is trained here.
"""

from collections.abc import Iterator

from cases import Case
from rows import Row
from scoring import EXAMPLE, TARGET
from variants import folder, macs

import lilliput as lp
from lilliput.measure import latency_ratios
from lilliput.search.latency.narrow import NarrowToLatency

__all__ = ["WIDTHS", "cases"]

WIDTHS = range(4, 17)


def narrowed(model: lp.Model, width: int) -> lp.Model:
    """All stages narrower, with `width` channels in the first."""
    return lp.run(model, [lp.PruneChannels(1 - width / 16)]) if width < 16 else model


def widths() -> list[Row]:
    """Every width, in turn with the whole network."""
    model, task = EXAMPLE.resnet20()
    nets = [narrowed(model, width) for width in WIDTHS]
    files = [
        lp.export(net, TARGET, folder(f"width-{width}"))
        for width, net in zip(WIDTHS, nets, strict=True)
    ]
    rows = []
    ratios = latency_ratios(files, files[-1], TARGET, task)
    for width, net, found in zip(WIDTHS, nets, ratios, strict=True):
        case = f"resnet20-width-{width}"
        left = (found.value, found.unit, found.method, found.low, found.high, found.samples)
        rows += [
            Row(case, "lilliput", "latency_ratio", *left),
            Row(case, "lilliput", "MACs / float MACs", macs(net) / macs(model), "1", "counted"),
        ]
    return rows


def by_the_clock() -> list[Row]:
    """What `NarrowToLatency` makes of 1.9 times as fast: MACs that are left, before training."""
    model, task = EXAMPLE.resnet20()
    small = lp.run(model, [NarrowToLatency(task, TARGET, share=1 / 1.9)])
    case = "resnet20-by-latency"
    files = [
        lp.export(net, TARGET, folder(f"{case}-{name}"))
        for name, net in (("small", small), ("whole", model))
    ]
    (found,) = latency_ratios(files[:1], files[1], TARGET, task)
    left = (found.value, found.unit, found.method, found.low, found.high, found.samples)
    return [
        Row(case, "lilliput", "latency_ratio", *left),
        Row(case, "lilliput", "MACs / float MACs", macs(small) / macs(model), "1", "counted"),
    ]


def cases() -> Iterator[Case]:
    """One run for all widths, and the allotment that knows them."""
    yield Case("resnet20-width-16", widths)
    yield Case("resnet20-by-latency", by_the_clock)
