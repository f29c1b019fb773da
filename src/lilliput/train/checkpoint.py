"""A folder from which interrupted training goes on.

`checkpoint.json` names the file of tensors beside it and its digest. It is replaced last, in one
step, so a run killed at any moment leaves the old checkpoint or the new one, never half of one.
"""

import json
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lilliput.core import PassError, Task
from lilliput.core.artifact import sha256_of
from lilliput.core.digest import digest_of
from lilliput.core.disk import replacing, sync
from lilliput.train.flatten import flatten, unflatten

__all__ = ["CheckpointFolder", "folder_for"]

_INDEX = "checkpoint.json"
_MAX_INDEX_BYTES = 64 * 2**20
_log = logging.getLogger(__name__)


def folder_for(
    folder: Path | None, settings: dict[str, Any], task: Task, networks: Iterable[nn.Module]
) -> "CheckpointFolder | None":
    """The checkpoint of just this training: settings, data and the weights it starts from."""
    if folder is None:
        return None
    key = digest_of(
        [
            json.dumps(settings, sort_keys=True),
            task.identity(),
            *(part for network in networks for part in _named_tensors(network)),
        ]
    )
    return CheckpointFolder(Path(folder), key)


def _named_tensors(network: nn.Module) -> Iterator[str | Tensor]:
    for name, value in network.state_dict().items():
        yield name
        yield value


class CheckpointFolder:
    """One training's state on disk.

    Args:
        folder: Where; made when something is saved.
        key: Of the training, as `folder_for` gives it; another training's state is not read.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self.key = folder, key

    def save(self, state: dict[str, Any]) -> None:
        """Replaces what was saved before, in one step.

        Raises:
            PassError: The folder cannot be written.
        """
        tensors: dict[str, Tensor] = {}
        tree = flatten(state, tensors, "state")
        try:
            self._write(tensors, tree)
        except (OSError, SafetensorError) as error:
            raise PassError(
                f"cannot write a checkpoint to {self.folder}: {error}; "
                "free some space or give another checkpoint folder"
            ) from error

    def _write(self, tensors: dict[str, Tensor], tree: Any) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / "tensors.part"
        save_file(tensors, part)
        sync(part)
        digest = sha256_of(part)
        data = part.rename(self.folder / f"{digest[:16]}.safetensors")
        index = {"key": self.key, "file": data.name, "sha256": digest, "state": tree}
        with replacing(self.folder / _INDEX) as part:
            part.write_text(json.dumps(index))
        for old in self.folder.glob("*.safetensors"):
            if old.name != data.name:
                old.unlink()

    def load(self) -> dict[str, Any] | None:
        """Gives what was saved last, or None where nothing was, or nothing that can be used.

        A corrupted checkpoint is moved aside, and one of another training is left for `save` to
        replace; both are logged as warnings.
        """
        path = self.folder / _INDEX
        if not path.is_file():
            return None
        try:
            index = self._read_index(path)
            if index["key"] != self.key:
                _log.warning(
                    "the checkpoint in %s is of other settings, data or weights; training starts "
                    "over and replaces it",
                    self.folder,
                )
                return None
            state = unflatten(index["state"], self._read_tensors(index))
        except (ValueError, KeyError, TypeError, FileNotFoundError) as error:
            aside = path.replace(path.with_suffix(".corrupt"))
            _log.warning("%s is corrupted (%s): kept as %s, starting over", path, error, aside.name)
            return None
        if not isinstance(state, dict):
            raise TypeError(f"{path} holds a {type(state).__name__} where a dict was saved")
        return state

    def _read_index(self, path: Path) -> dict[str, Any]:
        size = path.stat().st_size
        if size > _MAX_INDEX_BYTES:
            raise ValueError(f"{size:,} bytes, more than any index has")
        index = json.loads(path.read_text())
        if not isinstance(index, dict):
            raise ValueError(f"a {type(index).__name__} where a dict was written")  # noqa: TRY004
        return index

    def _read_tensors(self, index: dict[str, Any]) -> dict[str, Tensor]:
        path = self.folder / Path(index["file"]).name
        if sha256_of(path) != index["sha256"]:
            raise ValueError(f"{path.name} is not what was written")
        return load_file(path)
