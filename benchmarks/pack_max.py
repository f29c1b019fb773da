r"""Weights packed with `smallest` (`--max`) beside range ANS: bits, and speed.

    python benchmarks/pack_max.py --data DIR [--case PATTERN ...] [--again] [--list]

- `integers NET, STEP`: all weights of a trained network in tensors of more than 16,384, rounded
  with one step for each tensor (one of its standard deviations, or half of one) or one for each row
  (its largest weight is 127); what the file takes, its header too, without and with `smallest`.
- `speed NET, STEP`: one thread, in time of the processor, the median of runs; MB of what the
  weights take as fp32. Encoding tries two orders, and decodes once to compare.

Rows go to `benchmarks/results/pack_max.json`.
"""

import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import torch
from cases import Case, run_cases
from pack import RUNS, timed
from pack_nets import NETS, STEPS, state_of
from rows import Row

from lilliput.pack import PackedModel, Quantized, load_packed, pack_model

State = Mapping[str, torch.Tensor | Quantized]


def count_of(state: State) -> int:
    """Weights in all."""
    return sum(v.integers.numel() for v in state.values() if isinstance(v, Quantized))


def read_all(opened: PackedModel) -> list[Quantized | None]:
    """The integers of each tensor."""
    return [opened.quantized(name) for name in opened]


def integers(net: str, step: str) -> list[Row]:
    """Bits per weight, the header too, without and with mixing."""
    state = state_of(net, step)
    count, case, rows, bits = count_of(state), f"integers {net}, {step}", [], {}
    for system, smallest in (("range ANS", False), ("max", True)):
        with tempfile.TemporaryDirectory() as folder:
            packed = pack_model(state, Path(folder) / "net.lil", smallest=smallest)
            opened = load_packed(packed.path, most_bytes=1 << 40)
            for (name, value), back in zip(state.items(), read_all(opened), strict=True):
                whole = value.integers if isinstance(value, Quantized) else value
                if back is None or not torch.equal(back.integers.to(torch.int32), whole):
                    raise SystemExit(f"{name} does not come back")
            bits[system] = 8 * packed.path.stat().st_size / count
        rows.append(
            Row(case, system, "bits per weight", bits[system], "bit", "measured", samples=count)
        )
    saved = 1 - bits["max"] / bits["range ANS"]
    return [*rows, Row(case, "max", "saved", saved, "1", "measured", samples=count)]


def speed(net: str, step: str) -> list[Row]:
    """MB of fp32 a second, coded and written, and read and decoded to integers."""
    torch.set_num_threads(1)
    state = state_of(net, step)
    megabytes = 4e-6 * count_of(state)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.lil"
        encode = timed(partial(pack_model, state, path, smallest=True))
        encoded = sorted(megabytes / seconds for seconds in encode)
        opened = load_packed(path, most_bytes=1 << 40)
        decoded = sorted(megabytes / seconds for seconds in timed(partial(read_all, opened)))
    return [
        Row(
            f"speed {net}, {step}",
            "max",
            name,
            found[RUNS // 2],
            "MB/s",
            "measured",
            found[0],
            found[-1],
            RUNS,
        )
        for name, found in (("encode", encoded), ("decode", decoded))
    ]


def cases() -> Iterator[Case]:
    """All that is measured."""
    for net in NETS:
        for step in STEPS:
            yield Case(f"integers {net}, {step}", partial(integers, net, step))
    for net, step in (
        ("resnet56", "half a deviation"),
        ("resnet56", "int8 by row"),
        ("lite0", "half a deviation"),
    ):
        yield Case(f"speed {net}, {step}", partial(speed, net, step))


if __name__ == "__main__":
    run_cases("pack_max", __doc__ or "", cases)
