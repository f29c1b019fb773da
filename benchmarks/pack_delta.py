r"""Updates: bytes of what turns a packed model into the next, beside what others make of the pair.

    apt-get install zstd xdelta3 bsdiff
    python benchmarks/pack_delta.py --data DIR [--case PATTERN ...] [--again] [--list]

Networks with their BatchNorm folded in; weights of two axes or more are integers of one step for
each tensor, half or a quarter of the old weights' standard deviation, also in the new file; biases
are float32.

- `moved SHARE NET, STEP`: to all tensors noise is added whose deviation is that share of theirs.
- `tuned resnet20, STEP`: an epoch of training on CIFAR-10 at a learning rate of 0.01; with `slack`,
  integers stay that are off by up to three quarters of a step. Top-1 of the packed networks on
  8,000 test images beside it.
- `file SHARE NAME`: an int8 file of MLPerf Tiny, in which that share of the weights of each tensor
  moved by one, and the file that it was.

The others get the packed files; and with `unpacked` after their names the same integers and floats
as plain bytes, which suits them better. Rows go to `benchmarks/results/pack.json`.
"""

import copy
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from cases import Case, run_cases
from rows import Row
from safetensors.torch import load_file, save_file
from scoring import WORK
from torch import Tensor, nn

import lilliput as lp
from lilliput.core.data import data_dir
from lilliput.pack import Quantized
from lilliput.pack.file import arrays_in

sys.path.insert(0, str(Path(__file__).parent.parent / "examples"))

NETS = ("resnet20", "resnet56", "lite0")
SHARES = (0.01, 0.05)
STEPS = {"half a deviation": 2, "a quarter": 4}
FILES = ("ad01_int8", "vww_96_int8")
SLACK = 0.25
OTHERS = {
    "zstd --patch-from": "zstd -q -f -19 --long=27 --patch-from={old} {new} -o {out}",
    "xdelta3": "xdelta3 -9 -f -e -s {old} {new} {out}",
    "bsdiff": "bsdiff {old} {new} {out}",
}

State = Mapping[str, Tensor | Quantized]


def model_of(net: str) -> lp.Model:
    """A trained network, its BatchNorm folded in."""
    if net == "lite0":
        import lite0

        return lp.run(lite0.model(), [lp.FuseBatchNorm()])
    import cifar10

    return lp.run(cifar10.trained(int(net.removeprefix("resnet"))), [lp.FuseBatchNorm()])


@cache
def weights(net: str) -> dict[str, Tensor]:
    """Its tensors of floats."""
    state = model_of(net).module.state_dict()
    return {name: value.clone() for name, value in state.items() if value.is_floating_point()}


def moved(old: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """The same with noise of a share of each tensor's deviation."""
    noise = torch.Generator().manual_seed(0)
    return {
        name: value + share * value.std(correction=0) * torch.randn(value.shape, generator=noise)
        for name, value in old.items()
    }


def rounded(state: Mapping[str, Tensor], parts: int) -> State:
    """Weights as integers of a part of their deviation; the rest as it is."""
    return {
        name: Quantized((value / (value.std() / parts)).round().int(), float(value.std() / parts))
        if value.dim() > 1
        else value
        for name, value in state.items()
    }


def plain(state: State) -> bytes:
    """Integers and floats one after another."""
    parts = []
    for value in state.values():
        is_coded = isinstance(value, Quantized)
        values = value.integers.to(torch.int8) if is_coded else value
        parts.append(values.contiguous().numpy().tobytes())
    return b"".join(parts)


def elsewhere(old: Path, new: Path, suffix: str) -> dict[str, int]:
    """Bytes that other programs make of two files."""
    found = {}
    for system, command in OTHERS.items():
        out = new.with_suffix(".patch")
        words = [word.format(old=old, new=new, out=out) for word in command.split()]
        if shutil.which(words[0]) is None:
            raise SystemExit(f"{words[0]} is not installed; the first lines of this file say how")
        subprocess.run(words, capture_output=True, check=True)
        found[system + suffix] = out.stat().st_size
    return found


def compared(case: str, new: Path, made: int, others: Mapping[str, int]) -> list[Row]:
    """Rows of sizes, and shares of the new packed file."""
    whole = new.stat().st_size
    sizes = {"lilliput": made, **others}
    return [
        Row(case, "lilliput, whole", "size", whole, "B", "measured"),
        *(
            row
            for system, size in sizes.items()
            for row in (
                Row(case, system, "size", size, "B", "measured"),
                Row(case, system, "update / whole", size / whole, "1", "measured"),
            )
        ),
    ]


def updated(case: str, old: State, new: Mapping[str, Tensor], slack: float) -> list[Row]:
    """An old state, and new weights rounded with its steps."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        before = lp.pack_model(old, folder / "old.lil").path
        state = lp.requantize(new, lp.load_packed(before), slack)
        after = lp.pack_model(state, folder / "new.lil").path
        made = lp.apply_delta(before, lp.delta(before, after, folder / "u.lil"), folder / "back")
        if made.read_bytes() != after.read_bytes():
            raise SystemExit(f"{case}: the update makes another file")
        (folder / "old").write_bytes(plain(old))
        (folder / "new").write_bytes(plain(state))
        others = elsewhere(before, after, "")
        others |= elsewhere(folder / "old", folder / "new", ", unpacked")
        return compared(case, after, (folder / "u.lil").stat().st_size, others)


def moved_rows(net: str, share: float, step: str) -> list[Row]:
    """Weights with noise."""
    old = weights(net)
    case = f"moved {share:.0%} {net}, {step}"
    return updated(case, rounded(old, STEPS[step]), moved(old, share), 0.0)


@cache
def tuned() -> dict[str, Tensor]:
    """ResNet-20 after another epoch, its BatchNorm folded in; kept in `benchmarks/work`."""
    import cifar10

    path = WORK / "resnet20-tuned.safetensors"
    if not path.exists():
        torch.manual_seed(0)
        model, task = cifar10.resnet20()
        training = lp.FineTune(task, epochs=1, learning_rate=0.01)
        state = lp.run(model, [training, lp.FuseBatchNorm()]).module.state_dict()
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: value.contiguous() for name, value in state.items()}, path)
    return {k: v for k, v in load_file(path).items() if v.is_floating_point()}


def top1(net: nn.Module, state: Mapping[str, Tensor]) -> tuple[float, int]:
    """Share of 8,000 test images that a network with these weights knows."""
    import cifar10

    net = copy.deepcopy(net)
    net.load_state_dict(state, strict=False)
    right = count = 0
    with torch.inference_mode():
        for images, labels in cifar10.task().test:
            right += int((net(images).argmax(1) == labels).sum())
            count += len(labels)
    return right / count, count


def tuned_rows(step: str, slack: float) -> list[Row]:
    """ResNet-20 before and after an epoch."""
    case = f"tuned resnet20, {step}" + (", slack" if slack else "")
    old, new = rounded(weights("resnet20"), STEPS[step]), tuned()
    rows = updated(case, old, new, slack)
    with tempfile.TemporaryDirectory() as folder:
        before = lp.load_packed(lp.pack_model(old, Path(folder) / "old.lil").path)
        after = lp.pack_model(lp.requantize(new, before, slack), Path(folder) / "new.lil").path
        net = model_of("resnet20").module
        for system, state in (("before", before), ("after", lp.load_packed(after))):
            score, count = top1(net, dict(state))
            rows.append(Row(case, system, "top-1", score, "1", "measured", samples=count))
    return rows


def file_rows(name: str, share: float) -> list[Row]:
    """A finished file, and one in which some weights moved by one."""
    old = data_dir() / "mlperf-tiny" / f"{name}.tflite"
    data, rng = bytearray(old.read_bytes()), np.random.default_rng(0)
    for array in arrays_in(bytes(data), ".tflite"):
        if array.dtype == "int8" and len(array.ranges) == 1:
            start, length = array.ranges[0]
            moves = (rng.random(length) < share) * rng.choice((-1, 1), length)
            values = np.clip(array.values.reshape(-1).astype(int) + moves, -127, 127)
            data[start : start + length] = values.astype(np.int8).tobytes()
    case = f"file {share:.0%} {name}"
    with tempfile.TemporaryDirectory() as folder:
        new = Path(folder) / f"{name}.tflite"
        new.write_bytes(data)
        before = lp.pack(old, Path(folder) / "old.lil").path
        after = lp.pack(new, Path(folder) / "new.lil").path
        update = lp.delta(before, after, Path(folder) / "u.lil")
        if lp.apply_delta(old, update, Path(folder) / "back").read_bytes() != data:
            raise SystemExit(f"{case}: the update makes another file")
        others = elsewhere(before, after, "") | elsewhere(old, new, ", unpacked")
        return compared(case, after, update.stat().st_size, others)


def cases() -> Iterator[Case]:
    """All that is measured."""
    for net in NETS:
        for step in STEPS:
            for share in SHARES:
                name = f"moved {share:.0%} {net}, {step}"
                yield Case(name, partial(moved_rows, net, share, step))
    for step in STEPS:
        yield Case(f"tuned resnet20, {step}", partial(tuned_rows, step, 0.0))
        yield Case(f"tuned resnet20, {step}, slack", partial(tuned_rows, step, SLACK))
    for name in FILES:
        yield Case(f"file 1% {name}", partial(file_rows, name, 0.01))


if __name__ == "__main__":
    run_cases("pack", __doc__ or "", cases)
