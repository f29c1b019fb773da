"""The C decoders under libFuzzer, which looks for inputs that reach new code, with sanitizers."""

import os
import re
import shutil
import subprocess

import pytest
from tests.attacks.harness import blocks_in, compiled, corpus_of
from tests.attacks.packed import mixed_model, model_file, onnx_packed, small_model


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory):
    clang = shutil.which("clang")
    if clang is None:
        pytest.skip("libFuzzer needs clang, which is not here; apt-get install clang")
    program = tmp_path_factory.mktemp("fuzzer") / "fuzz"
    flags = ("-Wall", "-Wextra", "-Werror", "-DWITH_LIBFUZZER")
    return compiled(clang, program, *flags, "-fsanitize=fuzzer,address,undefined")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    paths = [make(folder) for make in (onnx_packed, model_file, small_model, mixed_model)]
    blocks = (block for path in paths for block in blocks_in(path))
    return corpus_of(folder / "corpus", blocks)


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
