"""The C decoders under libFuzzer, which looks for inputs that reach new code, with sanitizers."""

import os
import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from tests.attacks.packed import blocks_of, mixed_model, model_file, onnx_packed, small_model

from lilliput.pack import Packed

HERE = Path(__file__).parent
DECODER = HERE.parents[1] / "src" / "lilliput" / "pack" / "decoder"
DECODERS = {b"\1": 0, b"\3": 1}
"""Places in the table of `fuzz_decoders.c`, by the form of a block."""
MOST_COUNT = 1 << 12


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory):
    clang = shutil.which("clang")
    if clang is None:
        pytest.skip("libFuzzer needs clang, which is not here; apt-get install clang")
    program = tmp_path_factory.mktemp("fuzzer") / "fuzz"
    flags = ["-std=c99", "-g", "-O1", "-Wall", "-Wextra", "-Werror", f"-I{DECODER}"]
    flags += ["-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"]
    sources = [HERE / "fuzz_decoders.c", *sorted(DECODER.glob("*.c"))]
    command = [clang, *flags, *map(str, sources), "-o", str(program)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if "cannot find" in made.stderr:
        pytest.skip("this clang comes without libFuzzer; apt-get install libclang-rt-dev")
    assert made.returncode == 0, made.stderr
    return program


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Blocks of packed files, one a file."""
    folder = tmp_path_factory.mktemp("corpus")
    for make in (onnx_packed, model_file, small_model, mixed_model):
        path = make(folder)
        packed = Packed.open(path)
        for entry, payload in zip(packed.contents.entries, blocks_of(packed), strict=True):
            for stream, own in zip(entry.streams, payload, strict=True):
                for block, data in zip(stream.blocks, own, strict=True):
                    if data[:1] in DECODERS and block.count < MOST_COUNT:
                        facts = struct.pack(
                            "<BHH", DECODERS[data[:1]], block.count, min(stream.columns, 65_535)
                        )
                        name = f"{path.stem}-{len(list(folder.iterdir()))}.block"
                        (folder / name).write_bytes(facts + data[1:])
    for path in folder.iterdir():
        if path.suffix != ".block":
            path.unlink()
    return folder


@pytest.mark.parametrize("seconds", [3, pytest.param(900, marks=pytest.mark.slow)])
def test_no_input_does_harm(fuzzer, corpus, seconds):
    # resident memory is counted from the process that started this one, so allocations are limited
    memory = ["-rss_limit_mb=0", "-malloc_limit_mb=16"]
    limits = [f"-max_total_time={seconds}", "-timeout=10", "-max_len=8192", *memory]
    done = subprocess.run(
        [str(fuzzer), str(corpus), *limits, "-print_final_stats=1", "-seed=1"],
        cwd=corpus,
        # what was freed is kept apart for a while, but not until memory is full
        env={**os.environ, "ASAN_OPTIONS": "quarantine_size_mb=16"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    runs = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    assert runs
    assert int(runs[1]) > 1000
