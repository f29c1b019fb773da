"""A run on disk, and a way to call verbs."""

import dataclasses
import json
import shutil

import pytest
from tests.report.families import share_family
from typer.testing import CliRunner

from lilliput.cli import app
from lilliput.core import Artifact
from lilliput.core.data import set_data_dir
from lilliput.registry import Store


def fill(folder):
    """Stores the made-up family of two targets; gives it as stored."""
    folder.mkdir(parents=True, exist_ok=True)
    made = share_family(folder)
    store = Store(folder)
    ids = {}
    for variant in made.variants:
        file = folder / "scratch.onnx"
        file.write_bytes(variant.key.encode())
        added = store.add(
            key=variant.key,
            name=variant.name,
            target=variant.target,
            artifact=Artifact.of(file, "onnx"),
            measurements=variant.measurements,
            recipe=variant.recipe,
            parent=ids.get(variant.parent),
            details=variant.details,
        )
        ids[variant.id] = added.id
        file.unlink()
    for skipped in made.skipped:
        store.skip(**dataclasses.asdict(skipped))
    notes = {"task": made.task, "metric": made.metric, "higher_is_better": True, **made.notes}
    for name, value in notes.items():
        store.note(name, value)
    return store.family()


@pytest.fixture(scope="session")
def filled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("filled") / "run"
    fill(folder)
    return folder


@pytest.fixture
def run_folder(filled, tmp_path):
    return shutil.copytree(filled, tmp_path / "run")


class Called:
    """What a verb printed and how it ended."""

    def __init__(self, result):
        self.code, self.out, self.err = result.exit_code, result.stdout, result.stderr
        self.exception = result.exception

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def lilliput(monkeypatch):
    """Calls the command line: `lilliput("list", folder)`."""
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.delenv("LILLIPUT_DATA", raising=False)

    def call(*arguments, width=160):
        monkeypatch.setenv("COLUMNS", str(width))
        return Called(CliRunner().invoke(app, [str(argument) for argument in arguments]))

    yield call
    set_data_dir(None)
