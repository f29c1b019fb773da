"""What each of two processes runs that are stopped; each has a folder of its own for its disk."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from recorder import Recorder

from lilliput.core import Model, PassError, Task, run
from lilliput.testing import TINY_TASKS
from lilliput.train import FineTune, Training

torch.set_num_threads(1)
rank = os.environ["RANK"]
disk = Path(sys.argv[1]) / rank
disk.mkdir()
model, task = TINY_TASKS["two_output_regressor"]()
training = Training(ema_decay=0.9, precision="32-true", accelerator="cpu")


def trained(hook: Recorder, folder: Path | None, data: Task = task) -> Model:
    return run(model, [FineTune(data, 4, 0.05, training, (hook,), checkpoint=folder)])


def refusal(*arguments: Any) -> str:
    try:
        trained(*arguments)
    except PassError as error:
        return str(error)
    return ""


expected = trained(Recorder(), None)
assert "died" in refusal(Recorder(15), disk / "checkpoint")
seen: dict[str, Any] = {"has_checkpoint": (disk / "checkpoint" / "checkpoint.json").is_file()}
hook = Recorder()
done = trained(hook, disk / "checkpoint").module.state_dict()
seen["resumed_at"] = hook.steps[0]
weights = expected.module.state_dict()
seen["is_as_uninterrupted"] = all(torch.equal(done[name], weights[name]) for name in weights)

losses = 0


def nan_in_one(outputs: Any, labels: Any) -> torch.Tensor:
    """Not finite at step 20, where all look, in the second process alone."""
    global losses  # noqa: PLW0603
    losses += 1
    loss = task.loss(outputs, labels)
    return loss * torch.nan if rank == "1" and losses > 20 else loss


broken = Task("broken", task.train, [], nan_in_one, task.metric)
seen["nan"] = refusal(Recorder(), None, broken)
(disk / "seen.json").write_text(json.dumps(seen))
