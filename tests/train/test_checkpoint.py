import logging

import pytest
import torch
from torch import nn

from lilliput.core import PassError
from lilliput.testing import TINY_TASKS
from lilliput.train.checkpoint import CheckpointFolder, folder_for

STATE = {"weights": {"w": torch.arange(4.0)}, "step": 3, "random": (1, [2, 3])}


@pytest.fixture
def folder(tmp_path) -> CheckpointFolder:
    return CheckpointFolder(tmp_path / "run", "key")


def test_gives_back_what_was_saved(folder: CheckpointFolder) -> None:
    assert folder.load() is None
    folder.save(STATE)
    found = folder.load()
    assert torch.equal(found["weights"]["w"], torch.arange(4.0))
    assert (found["step"], found["random"]) == (3, (1, [2, 3]))


def test_tied_weights_are_saved(folder: CheckpointFolder) -> None:
    tied = torch.arange(4.0)
    folder.save({"a": tied, "b": tied})
    assert torch.equal(folder.load()["b"], tied)


def test_keeps_only_the_newest(folder: CheckpointFolder) -> None:
    for step in range(3):
        folder.save({"step": step, "w": torch.tensor([step])})
    assert len(list(folder.folder.iterdir())) == 2
    assert folder.load()["step"] == 2


@pytest.mark.parametrize("moment", ["save_file", "sha256_of", "sync"])
def test_dying_while_saving_leaves_the_old_one(folder, monkeypatch, moment) -> None:
    folder.save(STATE)

    def die(*_arguments) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(f"lilliput.train.checkpoint.{moment}", die)
        with pytest.raises(KeyboardInterrupt):
            folder.save({"step": 4})
    assert folder.load()["step"] == 3
    folder.save({"step": 5})
    assert folder.load()["step"] == 5


def test_that_of_another_training_is_passed_over_and_said_so(folder, caplog) -> None:
    CheckpointFolder(folder.folder, "another").save(STATE)
    with caplog.at_level(logging.WARNING):
        assert folder.load() is None
    assert str(folder.folder) in caplog.text
    assert "other settings" in caplog.text


@pytest.mark.parametrize("damage", ["bit", "short", "missing", "index", "empty index", "list"])
def test_a_corrupted_one_is_put_aside(folder, caplog, damage) -> None:
    folder.save(STATE)
    index = folder.folder / "checkpoint.json"
    data = next(folder.folder.glob("*.safetensors"))
    whole = data.read_bytes()
    if damage == "bit":
        data.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    elif damage == "short":
        data.write_bytes(whole[:-8])
    elif damage == "missing":
        data.unlink()
    else:
        text = index.read_text()
        content = {"index": text[: len(text) // 2], "empty index": "", "list": "[1]"}
        index.write_text(content[damage])
    with caplog.at_level(logging.WARNING):
        assert folder.load() is None
    assert "corrupted" in caplog.text
    assert (folder.folder / "checkpoint.corrupt").is_file()
    folder.save(STATE)
    assert folder.load()["step"] == 3


def test_a_folder_that_cannot_be_written_is_named(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PassError, match=r"cannot write a checkpoint to .*file.*another checkpoint"):
        CheckpointFolder(tmp_path / "file", "key").save(STATE)


def test_the_key_tells_settings_data_and_weights_apart(tmp_path) -> None:
    task, other = TINY_TASKS["image_classifier"]()[1], TINY_TASKS["image_to_image"]()[1]
    net, changed = nn.Linear(2, 2), nn.Linear(2, 2)
    keys = [
        folder_for(tmp_path, settings, data, networks).key
        for settings, data, networks in [
            ({"epochs": 1}, task, [net]),
            ({"epochs": 2}, task, [net]),
            ({"epochs": 1}, other, [net]),
            ({"epochs": 1}, task, [changed]),
            ({"epochs": 1}, task, [net, net]),
        ]
    ]
    assert len(set(keys)) == 5
    assert folder_for(tmp_path, {"epochs": 1}, task, [net]).key == keys[0]
    assert folder_for(None, {}, task, [net]) is None
