"""A run that is killed again and again ends as one that never was."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lilliput.core.artifact import sha256_of
from lilliput.registry import Family, Store

SCRIPT = Path(__file__).parent / "compress_digits.py"


def start(folder: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, str(SCRIPT), str(folder)], stdout=subprocess.DEVNULL)


def finished(folder: Path) -> Family:
    process = start(folder)
    assert process.wait() == 0
    return Store(folder, must_exist=True).family()


def essence(family: Family) -> set[tuple[str, str, str, str]]:
    return {(v.name, v.target, v.artifact.sha256, v.recipe) for v in family}


@pytest.mark.slow
def test_ten_kills_change_nothing(tmp_path: Path) -> None:
    before = time.monotonic()
    expected = finished(tmp_path / "whole")
    whole_s = time.monotonic() - before

    rng = random.Random(0)
    folder = tmp_path / "killed"
    made: dict[str, str] = {}
    for _ in range(10):
        process = start(folder)
        time.sleep(rng.uniform(0.1, 0.5) * whole_s)
        process.kill()
        process.wait()
        if (folder / "registry.db").exists():
            listed = Store(folder, must_exist=True).family()
            for variant in listed:
                assert sha256_of(variant.artifact.path) == variant.artifact.sha256
                assert made.setdefault(variant.key, variant.created) == variant.created
    family = finished(folder)

    assert essence(family) == essence(expected)
    assert len({v.key for v in family}) == len(family)
    assert all(made.get(v.key, v.created) == v.created for v in family)
