"""The peers beside us on CIFAR-10, scored as our own files are.

    python benchmarks/peers.py --data DIR [--case onnxruntime] [--case nncf] [--case torch-pruning]
                               [--epochs 9] [--again]

ONNX Runtime and NNCF get the float ONNX file that ours is compared with, and the first 512 training
images without augmentation. Torch-Pruning and `PruneChannels` halve the inner channels of every
block of ResNet-20 and then train by the same `Distill`. What was measured already is left out
unless `--again`; training goes on from its last checkpoint. NNCF and Torch-Pruning are installed in
`benchmarks/work/peers/venv`.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import peers_environment as environment
import torch
from peers_onnxruntime import METHODS, quantize
from rows import Row, read, save
from scoring import EXAMPLE, TARGET, WORK, float_reference, rows_of, show
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import lilliput as lp
from lilliput.core.data import set_data_dir
from lilliput.core.progress import shown
from lilliput.train import SGD, Training

FOLDER = WORK / "peers"
CALIBRATION_IMAGES = 512


@dataclass(frozen=True)
class Length:
    """How long the pruned networks train."""

    epochs: int
    learning_rate: float
    time_limit_s: float | None


@dataclass(frozen=True)
class Case:
    """One file of one system: who makes it, and of which network."""

    name: str
    system: str
    peer: str
    net: str
    make: Callable[[lp.Reference, lp.Task, Path], lp.Artifact]

    @property
    def folder(self) -> Path:
        return FOLDER / f"{self.name}-{self.system.split()[0].lower()}"


def calibration() -> np.ndarray:
    """What every quantizer sees, `[512, 3, 32, 32]`."""
    return EXAMPLE.normalise(EXAMPLE.images("train")[0][:CALIBRATION_IMAGES]).numpy()


def by_onnxruntime(method: str) -> Callable[[lp.Reference, lp.Task, Path], lp.Artifact]:
    """`quantize_static` with one of its calibrations."""

    def make(reference: lp.Reference, _: lp.Task, folder: Path) -> lp.Artifact:
        path = folder / "model.onnx"
        quantize(reference.artifact.path, path, calibration(), method)
        return lp.Artifact.of(path, "onnx")

    return make


def by_nncf(reference: lp.Reference, _: lp.Task, folder: Path) -> lp.Artifact:
    """`nncf.quantize` with all its defaults, in an environment of its own."""
    images, path = folder / "calibration.npy", folder / "model.onnx"
    np.save(images, calibration())
    environment.run("peers_nncf.py", reference.artifact.path, images, path)
    return lp.Artifact.of(path, "onnx")


def by_torch_pruning(length: Length) -> Callable[[lp.Reference, lp.Task, Path], lp.Artifact]:
    """Half the inner channels by Torch-Pruning, then our training."""

    def make(_: lp.Reference, task: lp.Task, folder: Path) -> lp.Artifact:
        path = folder / "pruned.safetensors"
        weights = EXAMPLE.file("cifar-resnets/resnet20.safetensors")
        environment.run("peers_torch_pruning.py", weights, path)
        model = lp.run(rebuilt(path), [distill(task, length, folder)])
        return exported(model, folder)

    return make


def by_lilliput(length: Length) -> Callable[[lp.Reference, lp.Task, Path], lp.Artifact]:
    """Half the inner channels by `PruneChannels`, then the same training."""

    def make(_: lp.Reference, task: lp.Task, folder: Path) -> lp.Artifact:
        model = EXAMPLE.resnet20()[0]
        groups = lp.channel_groups(lp.trace(model)).groups
        inner = {g.name: 0.5 for g in groups if g.name.endswith(".conv1")}
        if len(inner) != 9:
            raise RuntimeError(f"the inner channels of ResNet-20 are 9 groups, got {list(inner)}")
        pruned = lp.PruneChannels(inner, importance=lp.Magnitude())
        return exported(lp.run(model, [pruned, distill(task, length, folder)]), folder)

    return make


def distill(task: lp.Task, length: Length, folder: Path) -> lp.Distill:
    """The training of both: data, teacher, optimizer, length and seed."""
    return lp.Distill(
        task,
        EXAMPLE.resnet56()[0],
        epochs=length.epochs,
        learning_rate=length.learning_rate,
        temperature=4.0,
        alpha=0.9,
        training=Training(optimizer=SGD(weight_decay=5e-4)),
        time_limit_s=length.time_limit_s,
        checkpoint=folder / "checkpoint",
    )


def rebuilt(path: Path) -> lp.Model:
    """ResNet-20 with the widths and weights of a file of tensors."""
    from safetensors.torch import load_file

    state = load_file(path)
    model = EXAMPLE.resnet20()[0]
    for name, layer in model.module.named_modules():
        if isinstance(layer, nn.Conv2d):
            layer.out_channels, layer.in_channels = state[f"{name}.weight"].shape[:2]
        if isinstance(layer, nn.BatchNorm2d):
            layer.num_features = len(state[f"{name}.weight"])
        _fit(layer, name, state)
    model.module.load_state_dict(state)
    return model


def _fit(layer: nn.Module, name: str, state: dict[str, Tensor]) -> None:
    """Gives a layer's own tensors the shapes that the file has."""
    for own, value in layer.named_parameters(recurse=False):
        setattr(layer, own, nn.Parameter(value.new_empty(state[f"{name}.{own}"].shape)))
    for own, value in layer.named_buffers(recurse=False):
        setattr(layer, own, value.new_empty(state[f"{name}.{own}"].shape))


def exported(model: lp.Model, folder: Path) -> lp.Artifact:
    """The float ONNX file, with the number of its multiplications beside it."""
    (folder / "macs.txt").write_text(str(macs_of(model)))
    return lp.export(model, TARGET, folder)


def macs_of(model: lp.Model) -> int:
    """Multiplications for one example, as PyTorch counts them."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.module(*(x[:1] for x in model.example_inputs))
    return counter.get_total_flops() // 2


def cases(length: Length) -> Iterator[Case]:
    """All that is measured, cheapest first."""
    import onnxruntime

    runtime = f"ONNX Runtime {onnxruntime.__version__}"
    for net in ("resnet20", "resnet56"):
        for method in METHODS:
            name = f"{net}-int8-{method}"
            yield Case(name, runtime, "onnxruntime", net, by_onnxruntime(method))
    for net in ("resnet20", "resnet56"):
        system = f"NNCF {environment.version('nncf')}"
        yield Case(f"{net}-int8-default", system, "nncf", net, by_nncf)
    plural = "" if length.epochs == 1 else "s"
    name = f"resnet20-half-inner-{length.epochs}-epoch{plural}"
    if length.time_limit_s is not None:
        name += "-trial"
    system = f"Torch-Pruning {environment.version('torch-pruning')}"
    yield Case(name, system, "torch-pruning", "resnet20", by_torch_pruning(length))
    yield Case(name, "lilliput", "torch-pruning", "resnet20", by_lilliput(length))


@cache
def reference_of(net: str) -> lp.Reference:
    """The float file of a network, written once."""
    return float_reference(net, getattr(EXAMPLE, net)()[0])


def measure_case(case: Case) -> list[Row]:
    """All rows of one case."""
    model, task = getattr(EXAMPLE, case.net)()
    reference = reference_of(case.net)
    case.folder.mkdir(parents=True, exist_ok=True)
    with shown():
        artifact = case.make(reference, task, case.folder)
        rows = rows_of(case.name, case.system, artifact, task, reference)
    macs = case.folder / "macs.txt"
    if macs.exists():
        fewer = macs_of(model) / int(macs.read_text())
        rows += [
            Row(case.name, case.system, "MACs", int(macs.read_text()), "1", "counted"),
            Row(case.name, case.system, "float MACs / MACs", fewer, "1", "counted"),
        ]
    return rows


def main() -> None:
    """Measures the peers asked for."""
    form = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--data", default=os.environ.get("LILLIPUT_DATA"), type=Path)
    parser.add_argument(
        "--case", action="append", choices=("onnxruntime", "nncf", "torch-pruning"), default=[]
    )
    parser.add_argument("--epochs", type=int, default=9)
    parser.add_argument("--learning-rate", type=float, default=0.05)
    parser.add_argument(
        "--time-limit-s",
        type=float,
        help="ends each training early: a trial, whose rows are not kept",
    )
    parser.add_argument("--again", action="store_true")
    arguments = parser.parse_args()
    if arguments.data is None:
        sys.exit("pass --data DIR: the folder that holds cifar10/ and cifar-resnets/")
    set_data_dir(arguments.data)
    torch.manual_seed(0)
    length = Length(arguments.epochs, arguments.learning_rate, arguments.time_limit_s)
    timed = [row for row in read("cifar10") if row.quantity == "latency_ratio_eager"]
    done = {(row.case, row.system) for row in timed}
    for case in cases(length):
        is_done = (case.name, case.system) in done and not arguments.again
        if is_done or (arguments.case and case.peer not in arguments.case):
            continue
        try:
            rows = measure_case(case)
        except environment.NotInstalledError as error:
            print(f"{case.system} is left out: {error}", file=sys.stderr)
            continue
        if length.time_limit_s is None or case.peer != "torch-pruning":
            save("cifar10", rows)
        show(rows)


if __name__ == "__main__":
    main()
