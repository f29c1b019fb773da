"""The C decoders under address and undefined-behaviour sanitizers, fed with damaged blocks."""

import shutil
import subprocess

import pytest
from tests.attacks.harness import DECODER, blocks_in, compiled, corpus_of
from tests.attacks.packed import mixed_blocks, model_file, onnx_packed

ENCODER = DECODER.parent / "encoder"
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Werror")
COMPILERS = [name for name in ("gcc", "clang") if shutil.which(name)]
pytestmark = pytest.mark.skipif(not COMPILERS, reason="no C compiler")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Blocks of range ANS, from packed files."""
    folder = tmp_path_factory.mktemp("files")
    paths = (onnx_packed(folder), model_file(folder))
    blocks = (block for path in paths for block in blocks_in(path) if block[0] == 1)
    return corpus_of(folder / "corpus", blocks)


@pytest.fixture(scope="module")
def mixed(corpus):
    """Mixed blocks, of both orders, foretold or not."""
    return corpus_of(corpus.with_name("mixed"), ((3, *block) for block in mixed_blocks()))


def fuzz(compiler, corpus, rounds):
    program = corpus.parent / f"fuzz-{compiler}"
    program = compiled(compiler, program, *WARNINGS, "-fsanitize=address,undefined")
    done = subprocess.run(
        [str(program), str(rounds), "7", *map(str, sorted(corpus.iterdir()))],
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
