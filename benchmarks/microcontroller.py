"""Generated C on a Cortex-M4F: exact instruction counts, flash and RAM of the whole image, in QEMU.

    apt-get install gcc gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm
    python benchmarks/microcontroller.py --data DIR [--case PATTERN ...] [--again] [--list]

Flash is all that an image of start-up code and network holds; RAM is its data, the arena, the
network's input and output, and the stack that one run was seen to use. Input is all zeros. Before
anything is counted, the self-test has to pass on the simulated processor. Rows go to
`benchmarks/results/microcontroller.json`. Instructions are no cycles.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from cases import Case, run_cases
from rows import Row

from lilliput.core.data import data_dir
from lilliput.export.c.generate import generate

HOME = Path(__file__).parent
IMAGE = HOME.parent / "examples" / "firmware"
WORK = HOME / "work" / "microcontroller"
NETS = {
    "kws": "kws_ref_model",
    "ic": "pretrainedResnet_quant",
    "vww": "vww_96_int8",
    "ad": "ad01_int8",
}
CORE = ["-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"]
FLAGS = [
    "-O2",
    "-std=gnu99",
    "-ffreestanding",
    "-nostartfiles",
    "-ffunction-sections",
    "-fdata-sections",
]
LINK = ["-Wl,--gc-sections", "-Wl,-u,vectors", "-T", str(IMAGE / "mps2.ld"), "-lc", "-lgcc"]
PEER = "TFLM 90b983c2, CMSIS-NN 4ab83cc3"
PEERS = {
    "kws": {"flash": 107_128, "RAM": 24_928, "instructions": 7_697_330},
    "ic": {"flash": 149_492, "RAM": 57_104, "instructions": 29_866_124},
    "vww": {"flash": 386_480, "RAM": 102_816, "instructions": 24_101_945},
    "ad": {"flash": 304_864, "RAM": 4_096, "instructions": 582_938},
}
"""Counted with the same start-up code, linker script and plug-in; only int8 kernels registered."""
STACK_BYTES = 8192
"""What the linker script sets aside; the stack that was used counts instead."""


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


def built(folder: Path, name: str, main: Path, defines: Sequence[str] = ()) -> Path:
    """An image of start-up code, a main program and the network."""
    image = folder / f"{name}.elf"
    sources = [IMAGE / "start.c", folder / "model.c", main]
    compiler = tool("arm-none-eabi-gcc")
    run(compiler, *CORE, *FLAGS, *defines, f"-I{folder}", *sources, *LINK, "-o", image)
    return image


def simulated(image: Path, *more: str) -> str:
    """Runs an image; its exit status is QEMU's."""
    quiet = ["-nographic", "-monitor", "none", "-serial", "none", "-icount", "shift=0"]
    host = ["-semihosting-config", "enable=on,target=native"]
    machine = ["-M", "mps2-an386"]
    return run(tool("qemu-system-arm"), *machine, *quiet, *host, "-kernel", image, *more)


def symbols(image: Path) -> dict[str, int]:
    """Addresses by name."""
    lines = run(tool("arm-none-eabi-nm"), image).splitlines()
    return {line.split()[2]: int(line.split()[0], 16) for line in lines if len(line.split()) == 3}


def measured(case: str, name: str) -> list[Row]:
    """Generates, builds, tests and counts."""
    folder = WORK / case
    generate(data_dir() / "mlperf-tiny" / f"{name}.tflite").write(folder, vectors=3)
    simulated(built(folder, "test", folder / "test_model.c"))
    plugin = WORK / "pcount.so"
    run(tool("gcc"), "-O2", "-shared", "-fPIC", "-o", plugin, HOME / "pcount.c")
    image = built(folder, "run", IMAGE / "main.c", ["-DQUIET"])
    at = symbols(image)
    marks = f"{plugin},begin={at['roi_begin']:#x},end={at['roi_end']:#x}"
    counted = simulated(image, "-plugin", marks)
    stack = simulated(built(folder, "stack", IMAGE / "main.c"))
    text, data, bss = map(int, run(tool("arm-none-eabi-size"), image).splitlines()[1].split()[:3])
    used = int(re.findall(r"stack, bytes: +(\d+)", stack)[0])
    values = {
        "flash": (text + data, "B"),
        "RAM": (data + bss - STACK_BYTES + used, "B"),
        "stack": (used, "B"),
        "instructions": (int(re.findall(r"insns=(\d+)", counted)[0]), "1"),
    }
    return [
        Row(f"{case}-cortex-m4", "lilliput", quantity, value, unit, "simulated")
        for quantity, (value, unit) in values.items()
    ]


def counted_before(case: str) -> list[Row]:
    """The peer's numbers, which are not counted again."""
    units = {"flash": "B", "RAM": "B", "instructions": "1"}
    return [
        Row(f"{case}-cortex-m4", PEER, quantity, value, units[quantity], "counted before")
        for quantity, value in PEERS[case].items()
    ]


def cases() -> Iterator[Case]:
    """The networks of MLPerf Tiny."""
    WORK.mkdir(parents=True, exist_ok=True)
    for case, name in NETS.items():
        yield Case(f"{case}-cortex-m4", partial(measured, case, name))
        yield Case(f"{case}-cortex-m4", partial(counted_before, case), PEER)


if __name__ == "__main__":
    run_cases("microcontroller", __doc__, cases)
