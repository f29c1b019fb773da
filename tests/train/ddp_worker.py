"""What each process of the test of several processes runs: trains, and process 0 saves."""

import os
import sys

import torch
from safetensors.torch import save_file
from torch.utils.data import DataLoader

from lilliput.core import Task, run
from lilliput.testing import TINY_TASKS
from lilliput.train import SGD, Distill, FineTune, Hint, MeanSquaredErrorMatch, Training

torch.set_num_threads(1)
model, task = TINY_TASKS["two_output_regressor"]()
training = Training(SGD(), clip_norm=1.0, ema_decay=0.9, precision="32-true", accelerator="cpu")
# 31 examples: one process gets 16, the other 15. One example: one process gets none.
ragged = [(x[:count], tuple(y[:count] for y in ys)) for x, ys in task.train for count in (31, 1)]
shared = Task("ragged", ragged, [], task.loss, task.metric)
tuned = run(model, [FineTune(shared, 2, 0.05, training)])
hinted = Distill(shared, tuned, 1, 0.05, match=MeanSquaredErrorMatch(), features=(Hint("body"),))
distilled = run(
    model,
    [
        Distill(
            shared,
            tuned,
            1,
            0.05,
            match=MeanSquaredErrorMatch(),
            features=(Hint("body"),),
            training=training,
        )
    ],
)

seen: list[tuple[float, ...]] = []


def split(batch):
    seen.extend(tuple(row.tolist()) for row in batch[0])
    return batch[0], tuple(batch[1:])


inputs, labels = task.train[0]
rows = list(zip(inputs, *labels, strict=True))
sampled = Task("rows", DataLoader(rows, 4, shuffle=True), [], task.loss, task.metric, split=split)
run(model, [FineTune(sampled, 1, 0.05, training)])
rank = os.environ.get("RANK", "0")
tensors = {f"tuned.{k}": v for k, v in tuned.module.state_dict().items()}
tensors |= {f"distilled.{k}": v for k, v in distilled.module.state_dict().items()}
save_file({**tensors, "seen": torch.tensor(seen)}, f"{sys.argv[1]}/{rank}.safetensors")
