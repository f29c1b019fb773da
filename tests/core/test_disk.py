import os
import subprocess
import sys
from pathlib import Path

import pytest

from lilliput.core.disk import replacing, sync


def test_a_file_is_replaced_when_all_is_written(tmp_path: Path) -> None:
    path = tmp_path / "scores.npz"
    path.write_text("old")
    with replacing(path) as part:
        assert (part.parent, part.suffix) == (tmp_path, ".npz")
        part.write_text("new")
        assert path.read_text() == "old"
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"scores.npz": "new"}


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_where_writing_fails_the_old_file_stays(tmp_path: Path, error: type) -> None:
    path = tmp_path / "model.onnx"
    path.write_text("old")

    def write_half() -> None:
        with replacing(path) as part:
            part.write_text("half")
            raise error

    with pytest.raises(error):
        write_half()
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"model.onnx": "old"}


def test_content_reaches_the_disk_before_the_name_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen = tmp_path / "file", []
    real = os.fsync

    def watched(descriptor: int) -> None:
        seen.append(path.exists())
        real(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    with replacing(path) as part:
        part.write_text("all")
    assert seen == [False, True]  # the file, and then the folder that names it


def test_a_process_killed_while_it_writes_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    code = (
        "import os, sys; from pathlib import Path; from lilliput.core.disk import replacing\n"
        "with replacing(Path(sys.argv[1])) as part:\n"
        "    part.write_text('half'); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -9
    assert path.read_text() == "old"


def test_a_folder_is_synced_like_a_file(tmp_path: Path) -> None:
    sync(tmp_path)
    with pytest.raises(FileNotFoundError):
        sync(tmp_path / "nothing")


def test_a_link_keeps_pointing_and_a_device_stays(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    with replacing(link) as part:
        part.write_text("new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="no plain file"), replacing(tmp_path / "pipe"):
        pass
    assert (tmp_path / "pipe").is_fifo()
