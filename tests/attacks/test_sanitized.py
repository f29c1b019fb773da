"""The C decoders under address and undefined-behaviour sanitizers, fed with damaged blocks."""

import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from tests.attacks.packed import blocks_of, mixed_blocks, model_file, onnx_packed

from lilliput.pack import Packed

HERE = Path(__file__).parent
DECODER = HERE.parents[1] / "src" / "lilliput" / "pack" / "decoder"
ENCODER = DECODER.parent / "encoder"
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Werror")
COMPILERS = [name for name in ("gcc", "clang") if shutil.which(name)]
pytestmark = pytest.mark.skipif(not COMPILERS, reason="no C compiler")


def entry_of(form, data, count, columns):
    return struct.pack("<IIII", form, len(data), count, columns) + data


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Coded blocks of packed files: form, size, count, columns, bytes."""
    folder = tmp_path_factory.mktemp("corpus")
    out = b""
    for path in (onnx_packed(folder), model_file(folder)):
        packed = Packed.open(path)
        for entry, payload in zip(packed.contents.entries, blocks_of(packed), strict=True):
            for stream, own in zip(entry.streams, payload, strict=True):
                for block, data in zip(stream.blocks, own, strict=True):
                    if data[:1] == b"\1":
                        out += entry_of(1, data[1:], block.count, stream.columns)
    (folder / "corpus").write_bytes(out)
    return folder / "corpus"


@pytest.fixture(scope="module")
def mixed(corpus):
    """Mixed blocks, of both orders, foretold or not."""
    path = corpus.with_name("mixed")
    path.write_bytes(b"".join(entry_of(3, *block) for block in mixed_blocks()))
    return path


def fuzz(compiler, corpus, rounds):
    program = corpus.parent / f"fuzz-{compiler}"
    if not program.exists():
        flags = ["-std=c99", "-g", "-O1", "-fsanitize=address,undefined"]
        flags += ["-fno-sanitize-recover=all", f"-I{DECODER}", *WARNINGS]
        sources = [str(HERE / "fuzz_block.c"), *map(str, sorted(DECODER.glob("*.c")))]
        made = subprocess.run(
            [compiler, *flags, *sources, "-o", str(program)],
            capture_output=True,
            text=True,
            check=False,
        )
        if "cannot find" in made.stderr:
            pytest.skip(f"{compiler} has no sanitizers here")
        assert made.returncode == 0, made.stderr
    done = subprocess.run(
        [str(program), str(corpus), str(rounds), "7"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [int(number) for number in done.stdout.split()]


@pytest.mark.parametrize("compiler", COMPILERS)
def test_damaged_blocks_do_no_harm(compiler, corpus):
    results = fuzz(compiler, corpus, 3000)
    assert sum(results) == 3000
    assert all(results[1:])  # every kind of refusal was met


@pytest.mark.parametrize("compiler", COMPILERS)
def test_damaged_mixed_blocks_do_no_harm(compiler, mixed):
    results = fuzz(compiler, mixed, 120)
    assert sum(results) == 120
    assert all(results[1:])


@pytest.mark.slow
@pytest.mark.parametrize("compiler", COMPILERS)
def test_many_damaged_mixed_blocks_do_no_harm(compiler, mixed):
    assert sum(fuzz(compiler, mixed, 50_000)) == 50_000


@pytest.mark.slow
@pytest.mark.parametrize("compiler", COMPILERS)
def test_a_million_damaged_blocks_do_no_harm(compiler, corpus):
    assert sum(fuzz(compiler, corpus, 500_000)) == 500_000


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("level", ["-O0", "-O3"])
def test_the_coders_compile_without_a_warning(compiler, level, tmp_path):
    for source in (*DECODER.glob("*.c"), *ENCODER.glob("*.c")):
        command = [compiler, "-std=c99", "-pedantic", level, *WARNINGS, "-c", str(source)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
