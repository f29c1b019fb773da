"""What generated C takes of a microcontroller: an image for it, run in QEMU.

Instructions are counted by the board's own timer while QEMU runs one a nanosecond
(`-icount shift=0`): to the tick, which is 40 instructions on a Cortex-M4. They are no cycles.
"""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

from lilliput.core import Artifact, MeasureError, Measurement, Target, UnsupportedError
from lilliput.core.spelling import did_you_mean
from lilliput.export.c import package
from lilliput.export.c.package import End, Facts

__all__ = [
    "CODE_BYTES",
    "PROCESSORS",
    "Processor",
    "build",
    "chip_costs",
    "footprint",
    "missing_tools",
    "processor_of",
    "simulate",
]

_SOURCES = files("lilliput.export.c") / "firmware"
_FLAGS = ("-O2", "-std=gnu99", "-ffreestanding", "-ffunction-sections", "-fdata-sections")
_TIME_LIMIT_S = 600
_SET_ASIDE_BYTES = 8192
"""For the stack, by the linker scripts."""
CODE_BYTES, _STACK_BYTES = 6_000, 400
"""What kernels and the stack took at most in the networks of MLPerf Tiny on a Cortex-M4."""


@dataclass(frozen=True)
class Processor:
    """How to build for a processor, and the board that QEMU has with it.

    Args:
        flags: Of the compiler.
        board: QEMU's machine.
        megahertz: Of the board's timer.
        prefix: Of the compiler's name.
        qemu: The program.
        start: The start-up code, in `export/c/firmware`.
        script: The linker's, there too.
        link: More for the linker.
    """

    flags: tuple[str, ...]
    board: str
    megahertz: int
    prefix: str = "arm-none-eabi-"
    qemu: str = "qemu-system-arm"
    start: str = "start.c"
    script: str = "mps2.ld"
    link: tuple[str, ...] = ()


PROCESSORS: Mapping[str, Processor] = {
    # a Cortex-M3, which runs the same code; QEMU's boards with a Cortex-M0 have 16 kB of RAM
    "cortex-m0plus": Processor(("-mcpu=cortex-m0plus", "-mthumb"), "mps2-an385", 25),
    "cortex-m4": Processor(
        ("-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"), "mps2-an386", 25
    ),
    "cortex-m7": Processor(
        ("-mcpu=cortex-m7", "-mthumb", "-mfpu=fpv5-d16", "-mfloat-abi=hard"), "mps2-an500", 25
    ),
    "cortex-m55": Processor(
        ("-mcpu=cortex-m55", "-mthumb", "-mfloat-abi=hard"),
        "mps3-an547",
        32,
        link=("-Wl,--defsym=RAMBASE=0x21000000",),
    ),
    "riscv32": Processor(
        ("-march=rv32imc_zicsr", "-mabi=ilp32"),
        "virt",
        1000,
        prefix="riscv64-unknown-elf-",
        qemu="qemu-system-riscv32",
        start="start_riscv.c",
        script="virt.ld",
        link=("-Wl,--no-relax", "-nostdlib"),
    ),
}
"""By the names of targets for a processor and no board."""


def processor_of(target: Target) -> Processor:
    """What a microcontroller is built for.

    Raises:
        UnsupportedError: A name that is no key of `PROCESSORS`.
    """
    if target.processor not in PROCESSORS:
        known = did_you_mean(target.processor, PROCESSORS)
        raise UnsupportedError(
            f"target {target.name!r} has the processor {target.processor!r}; {known}"
        )
    return PROCESSORS[target.processor]


def missing_tools(processor: Processor) -> list[str]:
    """Programs that are not installed."""
    wanted = (f"{processor.prefix}gcc", f"{processor.prefix}size", processor.qemu)
    return [name for name in wanted if shutil.which(name) is None]


def build(
    processor: Processor, sources: Sequence[Path | str], image: Path, flags: Sequence[str] = ()
) -> Path:
    """An image of start-up code and sources; names without a folder are of `export/c/firmware`.

    Raises:
        MeasureError: The compiler refuses it.
    """
    with as_file(_SOURCES) as firmware:
        paths = [firmware / processor.start, firmware / "stack.c"]
        paths += [firmware / s if isinstance(s, str) else s for s in sources]
        command = [
            *(f"{processor.prefix}gcc", *processor.flags, *_FLAGS, *flags),
            f"-DMEGAHERTZ={processor.megahertz}",
            *("-nostartfiles", "-Wl,--gc-sections", "-Wl,-u,vectors"),
            *("-T", str(firmware / processor.script)),
            *(*processor.link, *map(str, paths), "-lgcc", "-o", str(image)),
        ]
        _run(command)
    return image


def simulate(processor: Processor, image: Path, folder: Path | None = None) -> str:
    """What an image says; it must end with 0.

    Args:
        processor: What it was built for.
        image: An absolute path where a folder is given.
        folder: Where files lie that the image reads from the host; the current one for None.

    Raises:
        MeasureError: It does not, or takes too long.
    """
    bios = ("-bios", "none") if processor.prefix.startswith("riscv") else ()
    return _run(
        [
            *(processor.qemu, "-M", processor.board, *bios, "-nographic", "-monitor", "none"),
            *("-serial", "none", "-icount", "shift=0"),
            *("-semihosting-config", "enable=on,target=native", "-kernel", str(image)),
        ],
        folder,
    )


def chip_costs(artifact: Artifact, target: Target) -> tuple[Measurement, ...]:
    """`flash`, `peak_ram` and `instructions` of generated C on a target's processor.

    Flash is all that an image of start-up code and network holds; RAM is its data, the arena, what
    the network takes and gives, and the stack that one run was seen to use. Without the tools the
    first two are estimated. Nothing for a target without a processor, or a file without C.

    Raises:
        MeasureError: The image does not build or run.
    """
    if not target.processor:
        return ()
    processor = processor_of(target)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        facts = package.read(artifact.path, folder)
        if facts is None:
            return ()
        if missing_tools(processor):
            return _estimated(facts, target)
        return _simulated(facts, target, processor, folder)


def _simulated(
    facts: Facts, target: Target, processor: Processor, folder: Path
) -> tuple[Measurement, ...]:
    (folder / "ends.h").write_text(_ends(facts))
    flags = (f"-I{folder}", "-include", str(folder / "ends.h"))
    sources: list[Path | str] = ["main.c", folder / "model.c"]
    quiet = build(processor, sources, folder / "quiet.elf", (*flags, "-DQUIET"))
    said = simulate(processor, build(processor, sources, folder / "run.elf", flags))
    device = f"{target.processor} ({processor.board} in QEMU)"
    units = {"flash": "B", "peak_ram": "B", "instructions": "1"}
    return tuple(
        Measurement(quantity, float(value), units[quantity], "simulated", device)
        for quantity, value in footprint(processor, quiet, said).items()
    )


def footprint(
    processor: Processor, image: Path, said: str, set_aside_bytes: int = _SET_ASIDE_BYTES
) -> dict[str, int]:
    """`flash` and `peak_ram` in bytes, and `instructions`.

    Args:
        processor: What the image was built for.
        image: With nothing in it but what counts.
        said: What it, or one that says more, said of its stack and instructions.
        set_aside_bytes: For the stack, by the linker's script or `STACKSIZE`.

    Raises:
        MeasureError: It did not say them.
    """
    sizes = _run([f"{processor.prefix}size", str(image)]).splitlines()[1].split()
    text, data, bss = map(int, sizes[:3])
    stack = _number(said, "stack, bytes")
    return {
        "flash": text + data,
        "peak_ram": data + bss - set_aside_bytes + stack,
        "instructions": _number(said, "instructions"),
    }


def _estimated(facts: Facts, target: Target) -> tuple[Measurement, ...]:
    """By what is constant, and what code and stack took elsewhere."""
    outside = [e for e in (*facts.inputs, *facts.outputs) if not e.is_in_arena]
    ram = facts.arena_bytes + sum(map(_count, outside)) + _STACK_BYTES
    flash = facts.constant_bytes + CODE_BYTES
    return tuple(
        Measurement(quantity, float(value), "B", "estimated", target.name)
        for quantity, value in (("flash", flash), ("peak_ram", ram))
    )


def _ends(facts: Facts) -> str:
    """What `main.c` gives the network: inputs in the arena where they may lie there."""
    lines, names = ["#include <stdint.h>"], []
    for place, end in enumerate(facts.inputs):
        name = "LILLIPUT_INPUT" + (f"_{place}" if place else "")
        if not end.is_in_arena:
            name = f"in_{place}"
            lines.append(f"static int8_t {name}[{_count(end)}];")
        names.append(name)
    for place, end in enumerate(facts.outputs):
        name = "out" + (f"_{place}" if place else "")
        lines.append(f"static int8_t {name}[{_count(end)}];")
        names.append(name)
    return "\n".join([*lines, f"#define ENDS {', '.join(names)}", ""])


def _count(end: End) -> int:
    count = 1
    for size in end.shape:
        count *= size
    return count


def _number(text: str, name: str) -> int:
    found = re.search(rf"{name}: (\d+)", text)
    if found is None:
        raise MeasureError(f"the simulated processor did not say its {name}, but {text!r}")
    return int(found[1])


def _run(command: Sequence[str], folder: Path | None = None) -> str:
    try:
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, check=False, timeout=_TIME_LIMIT_S, cwd=folder
        )
    except subprocess.TimeoutExpired as error:
        raise MeasureError(f"{command[0]} took longer than {_TIME_LIMIT_S} s") from error
    if done.returncode:
        said = (done.stdout + done.stderr).strip()[-2000:]
        raise MeasureError(f"{command[0]} ended with {done.returncode}: {said}")
    return done.stdout + done.stderr
