"""From training to chip: spoken digits on a Cortex-M4 in QEMU, the front-end and all.

    apt-get install gcc gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm
    python benchmarks/spoken_digits.py --data DIR [--again]

`compress` makes networks for a budget of flash and RAM, within `MINUTES`; of those that keep it the
one with the best validation score becomes an image, with the front-end of `examples/spoken_digits`
in C. It hears all 300 recordings of the official test split; what it says is compared with what
LiteRT's interpreter says, which gets what the front-end gives. Rows go to
`benchmarks/results/spoken_digits.json`.
"""

import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from cases import Case, run_cases
from rows import Row

import lilliput as lp
from lilliput.export.c import package
from lilliput.measure.chips import PROCESSORS, build, footprint, simulate
from lilliput.measure.intervals import paired, wilson

HOME = Path(__file__).parent
EXAMPLE = HOME.parent / "examples" / "spoken_digits"
WORK = HOME / "work" / "spoken_digits"
MINUTES = 5
BUDGET = lp.Budget(max_flash_bytes=15_000, max_ram_bytes=12_000, max_drop=0.01)
"""Of the network alone; the front-end takes less than 4 kB of flash and 4 kB of RAM."""
CASE = "spoken-digits-cortex-m4"

sys.path.insert(0, str(EXAMPLE))


def chosen() -> lp.Artifact:
    """The network that scores best on validation among those that keep the budget."""
    import spoken_digits

    family = lp.compress(
        spoken_digits.model(),
        spoken_digits.task(),
        BUDGET,
        targets="cortex-m4",
        out=WORK / "run",
        time_budget_s=60 * MINUTES,
        tell=print,
    )
    fitting = [v for v in family.variants if not BUDGET.misses(v.measurements)]
    return max(
        fitting, key=lambda v: (v.value("metric") or 0.0, -(v.value("flash") or 0.0))
    ).artifact


def answers(folder: Path, facts: package.Facts, kernels: str) -> np.ndarray:
    """What LiteRT's interpreter says of the test split; int64 [300].

    Args:
        folder: With the `.tflite` file.
        facts: Of its ends.
        kernels: A name of `OpResolverType`.
    """
    import spoken_digits
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    resolver = OpResolverType[kernels]
    file = str(folder / package.MODEL)
    interpreter = Interpreter(file, experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    place = interpreter.get_input_details()[0]["index"]
    out = interpreter.get_output_details()[0]["index"]
    found = []
    for features in spoken_digits.maps("test")[0]:
        codes = coded(features[None].numpy() * spoken_digits.STEP, facts)
        interpreter.set_tensor(place, codes)
        interpreter.invoke()
        found.append(interpreter.get_tensor(out).argmax())
    return np.asarray(found)


def coded(features: np.ndarray, facts: package.Facts) -> np.ndarray:
    """What the network's input calls the front-end's integers."""
    import spoken_digits

    end = facts.inputs[0]
    reals = np.asarray(features, np.float32) / np.float32(spoken_digits.STEP)
    codes = np.round(reals / np.float32(end.scale)) + end.zero_point
    return np.clip(codes, -128, 127).astype(np.int8)


def heard(folder: Path, facts: package.Facts) -> tuple[np.ndarray, dict[str, int]]:
    """What the chip says of the test split, and what the image takes."""
    import spoken_digits

    table = ", ".join(str(code) for code in coded(np.arange(-128, 128), facts))
    text = f"static const int8_t codes[256] = {{{table}}};\n"
    (folder / "codes.h").write_text(f"#include <stdint.h>\n{text}")
    clips, _ = spoken_digits.recordings("test")
    (folder / "seconds.bin").write_bytes(np.stack(clips).astype("<i2").tobytes())
    chip = PROCESSORS["cortex-m4"]
    sources = [folder / "model.c", EXAMPLE / "log_mel.c", EXAMPLE / "listen.c"]
    image = build(chip, sources, folder / "digits.elf", [f"-I{folder}", f"-I{EXAMPLE}"])
    said = simulate(chip, image, folder)
    costs = footprint(chip, image, said)
    return np.asarray([int(x) for x in re.findall(r"^(\d)$", said, re.MULTILINE)]), costs


def floats() -> np.ndarray:
    """What the network says before anything was done to it; int64 [300]."""
    import spoken_digits

    with torch.no_grad():
        return spoken_digits.model().module(spoken_digits.maps("test")[0]).argmax(1).numpy()


def measured() -> list[Row]:
    """All of it."""
    import spoken_digits

    labels = spoken_digits.maps("test")[1].numpy()
    artifact = chosen()
    with tempfile.TemporaryDirectory() as name:
        facts = package.read(artifact.path, Path(name))
        if facts is None:
            raise SystemExit(f"{artifact.path} holds no C")
        said, costs = heard(Path(name), facts)
        differing = {
            "LiteRT's reference kernels": answers(Path(name), facts, "BUILTIN_REF"),
            "LiteRT with XNNPACK": answers(Path(name), facts, "AUTO"),
        }
    right, whole = said == labels, floats() == labels
    share = wilson(int(right.sum()), len(right))
    drop = paired(whole.astype(float), right.astype(float))
    units = {"flash": "B", "peak_ram": "B", "instructions": "1"}
    rows = [
        Row(CASE, "lilliput", q.replace("peak_ram", "RAM"), v, units[q], "simulated")
        for q, v in costs.items()
    ]
    how = ("1", "simulated")
    return [
        *rows,
        *(
            Row(CASE, "lilliput", f"answers other than of {who}", int((said != theirs).sum()), *how)
            for who, theirs in differing.items()
        ),
        Row(
            CASE, "lilliput", "top-1", right.mean(), *how, share.low, share.high, len(right),
        ),
        Row(CASE, "lilliput", "top-1 of the float network", whole.mean(), "1", "measured"),
        Row(
            CASE, "lilliput", "drop", whole.mean() - right.mean(), *how,
            drop.low if drop else None, drop.high if drop else None, len(right),
        ),
    ]  # fmt: skip


def cases() -> Iterator[Case]:
    """One."""
    WORK.mkdir(parents=True, exist_ok=True)
    yield Case(CASE, measured)


if __name__ == "__main__":
    run_cases("spoken_digits", __doc__, cases)
