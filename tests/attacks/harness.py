"""`fuzz.c`, compiled, and what it is fed with."""

import struct
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from tests.attacks.packed import blocks_of

from lilliput.pack import Packed

__all__ = ["DECODER", "Coded", "blocks_in", "compiled", "corpus_of"]

HERE = Path(__file__).parent
DECODER = HERE.parents[1] / "src" / "lilliput" / "pack" / "decoder"
DECODERS = {1: 0, 3: 1}
"""Places in the table of `fuzz.c`, by the form of a block."""
MOST_COUNT = 1 << 12
_FLAGS = ("-std=c99", "-g", "-O1", "-fno-sanitize-recover=all", f"-I{DECODER}")

Coded = tuple[int, bytes, int, int]
"""Of a block its form, bytes, integers, and integers in a row."""


def blocks_in(path: Path) -> Iterator[Coded]:
    """The blocks of a packed file that decoders in C are for."""
    packed = Packed.open(path)
    for entry, payload in zip(packed.contents.entries, blocks_of(packed), strict=True):
        for stream, own in zip(entry.streams, payload, strict=True):
            for block, data in zip(stream.blocks, own, strict=True):
                if data[0] in DECODERS:
                    yield data[0], data[1:], block.count, min(stream.columns, 65_535)


def corpus_of(folder: Path, blocks: Iterable[Coded]) -> Path:
    """A folder with a file for each block that is short."""
    folder.mkdir()
    for place, (form, data, count, columns) in enumerate(blocks):
        if count < MOST_COUNT:
            facts = struct.pack("<BHH", DECODERS[form], count, columns)
            (folder / f"{place}.block").write_bytes(facts + data)
    return folder


def compiled(compiler: str, program: Path, *flags: str) -> Path:
    """The program; the test is skipped where the compiler comes without what it needs."""
    if not program.exists():
        sources = [HERE / "fuzz.c", *sorted(DECODER.glob("*.c"))]
        command = [compiler, *_FLAGS, *flags, *map(str, sources), "-o", str(program)]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if "cannot find" in made.stderr:
            pytest.skip(f"{compiler} has no sanitizers or no libFuzzer here")
        assert made.returncode == 0, made.stderr
    return program
