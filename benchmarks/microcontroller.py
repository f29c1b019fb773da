r"""Generated C on simulated processors: instructions, flash and RAM of the whole image, in QEMU.

    apt-get install gcc gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm \
        gcc-riscv64-unknown-elf qemu-system-misc
    python benchmarks/microcontroller.py --data DIR [--case PATTERN ...] [--again] [--list]

Flash is all that an image of start-up code and network holds; RAM is its data, the arena, the
network's input and output, and the stack that one run was seen to use. Input is all zeros. Before
anything is counted, the self-test has to pass on the simulated processor. On a Cortex-M4 each
instruction is counted by a plug-in, elsewhere by the board's timer, to 40 instructions. Rows go to
`benchmarks/results/microcontroller.json`. Instructions are no cycles.

The C of a peer, emx-onnx-cgen, is counted in the same image; `peers_emx.py` makes it from the same
weights, in an environment of its own.

Cases named after one of `few_bits.WAYS` are the published files with their weights changed so,
plain and packed.
"""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import product
from pathlib import Path

import few_bits
import peers_emx
from cases import Case, run_cases
from rows import Row

import lilliput as lp
from lilliput.core import Artifact
from lilliput.core.data import data_dir
from lilliput.export.c import package
from lilliput.measure.chips import (
    PROCESSORS,
    Processor,
    build,
    chip_costs,
    footprint,
    simulate,
)

HOME = Path(__file__).parent
WORK = HOME / "work" / "microcontroller"
NETS = {
    "kws": "kws_ref_model",
    "ic": "pretrainedResnet_quant",
    "vww": "vww_96_int8",
    "ad": "ad01_int8",
}
ARENAS = {"kws": 5_500, "ic": 16_500, "vww": 32_000}
"""For which rows have to stream through layers."""
STREAMS = "lilliput, rows stream"
NONE = package.Limits()
PLAIN, PACKED = "lilliput", "lilliput, packed"
PEER = "TFLM 90b983c2, CMSIS-NN 4ab83cc3"
PEERS = {
    "kws": {"flash": 107_128, "RAM": 24_928, "instructions": 7_697_330},
    "ic": {"flash": 149_492, "RAM": 57_104, "instructions": 29_866_124},
    "vww": {"flash": 386_480, "RAM": 102_816, "instructions": 24_101_945},
    "ad": {"flash": 304_864, "RAM": 4_096, "instructions": 582_938},
}
"""Counted with the same start-up code, linker script and plug-in; only int8 kernels registered."""


def tool(name: str) -> str:
    """A program of the toolchain."""
    found = shutil.which(name)
    if found is None:
        raise SystemExit(f"{name} is not installed; the first lines of this file say how")
    return found


def run(*command: str | Path) -> str:
    """What a program prints; it must end well."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command[0]} failed: {done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def symbols(image: Path) -> dict[str, int]:
    """Addresses by name."""
    lines = run(tool("arm-none-eabi-nm"), image).splitlines()
    return {line.split()[2]: int(line.split()[0], 16) for line in lines if len(line.split()) == 3}


def measured(
    case: str,
    content: Callable[[], bytes],
    processor: str,
    system: str,
    limits: package.Limits = NONE,
) -> list[Row]:
    """Generates within limits, builds, tests and counts."""
    folder, chip = WORK / f"{case} {system}", PROCESSORS[processor]
    tflite = folder / package.MODEL
    folder.mkdir(parents=True, exist_ok=True)
    tflite.write_bytes(content())
    sources = limits.generate(tflite).write(folder, vectors=3)
    here = [f"-I{folder}"]
    test = [folder / "model.c", folder / "test_model.c"]
    simulate(chip, build(chip, test, folder / "test.elf", here))
    path = folder / "model.c.zip"
    files = {package.MODEL: tflite.read_bytes(), package.LIMITS: limits.text.encode()}
    path.write_bytes(package.write(files | {p.name: p.read_bytes() for p in sources}))
    rows = chip_costs(Artifact.of(path, "c", ()), lp.get_target(processor))
    values = {row.quantity: (row.value, row.unit) for row in rows}
    if processor == "cortex-m4":
        values["instructions"] = (exactly(folder, chip, ["main.c", folder / "model.c"]), "1")
    names = {"peak_ram": "RAM"}
    return [
        Row(f"{case}-{processor}", system, names.get(quantity, quantity), *value, "simulated")
        for quantity, value in values.items()
    ]


def file_of(name: str) -> Path:
    """A published network."""
    return data_dir() / "mlperf-tiny" / f"{name}.tflite"


def exactly(
    folder: Path, chip: Processor, sources: Sequence[Path | str], flags: Sequence[str] = ()
) -> int:
    """Instructions of one run, each counted."""
    plugin = WORK / "pcount.so"
    run(tool("gcc"), "-O2", "-shared", "-fPIC", "-o", plugin, HOME / "pcount.c")
    image = build(chip, sources, folder / "run.elf", [f"-I{folder}", "-DQUIET", *flags])
    at = symbols(image)
    marks = f"{plugin},begin={at['roi_begin']:#x},end={at['roi_end']:#x}"
    quiet = ["-nographic", "-monitor", "none", "-serial", "none", "-icount", "shift=0"]
    host = ["-semihosting-config", "enable=on,target=native"]
    machine = [tool(chip.qemu), "-M", chip.board]
    said = run(*machine, *quiet, *host, "-kernel", image, "-plugin", marks)
    return int(re.findall(r"insns=(\d+)", said)[0])


def generated_elsewhere(case: str, name: str) -> list[Row]:
    """A peer's C of the same weights, in the same image."""
    folder, chip = WORK / f"{case}-emx", PROCESSORS["cortex-m4"]
    tflite = data_dir() / "mlperf-tiny" / f"{name}.tflite"
    sources = ["main.c", *peers_emx.make(tflite, folder)]
    flags = [f"-I{folder}", f"-Wl,--defsym=STACKSIZE={peers_emx.STACK_BYTES}"]
    quiet = build(chip, sources, folder / "quiet.elf", [*flags, "-DQUIET"])
    said = simulate(chip, build(chip, sources, folder / "loud.elf", flags))
    found = footprint(chip, quiet, said, peers_emx.STACK_BYTES)
    instructions = exactly(folder, chip, sources, flags)
    values = [("flash", found["flash"], "B"), ("RAM", found["peak_ram"], "B")]
    return [
        Row(f"{case}-cortex-m4", peers_emx.SYSTEM, *value, "simulated")
        for value in (*values, ("instructions", instructions, "1"))
    ]


def counted_before(case: str) -> list[Row]:
    """The peer's numbers, which are not counted again."""
    units = {"flash": "B", "RAM": "B", "instructions": "1"}
    return [
        Row(f"{case}-cortex-m4", PEER, quantity, value, units[quantity], "counted before")
        for quantity, value in PEERS[case].items()
    ]


def cases() -> Iterator[Case]:
    """The networks of MLPerf Tiny on each processor that has room for them."""
    WORK.mkdir(parents=True, exist_ok=True)
    for case, name in NETS.items():
        for processor in PROCESSORS:
            if processor == "cortex-m0plus" and case != "kws":
                continue  # the board has 16 kB of RAM and 256 kB of flash
            known = (case, file_of(name).read_bytes, processor)
            yield Case(f"{case}-{processor}", partial(measured, *known, PLAIN))
            if processor == "cortex-m4" and case in ARENAS:
                streams = partial(measured, *known, STREAMS, package.Limits(ARENAS[case]))
                yield Case(f"{case}-{processor}", streams, STREAMS)
        yield Case(f"{case}-cortex-m4", partial(counted_before, case), PEER)
        emx = partial(generated_elsewhere, case, name)
        yield Case(f"{case}-cortex-m4", emx, peers_emx.SYSTEM)
    for case, way in product(("ad", "kws", "ic"), few_bits.WAYS):
        changed = partial(few_bits.changed, file_of(NETS[case]), way)
        for system in (PLAIN, PACKED):
            limits = package.Limits(packs_weights=system == PACKED)
            made = partial(measured, f"{case}-{way}", changed, "cortex-m4", system, limits)
            yield Case(f"{case}-{way}-cortex-m4", made, system)


if __name__ == "__main__":
    run_cases("microcontroller", __doc__, cases)
