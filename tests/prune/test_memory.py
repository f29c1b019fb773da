"""How many copies of the weights pruning holds, as the operating system counts them."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import threading, time, psutil, torch
from torch import nn
import lilliput as lp

def net(width, depth=6):
    layers = [part for _ in range(depth) for part in (nn.Linear(width, width), nn.ReLU())]
    x = torch.randn(16, width)
    loss = lambda outputs, labels: (outputs - labels).square().mean()
    task = lp.Task("copy", [(x, x)], [(x, x)], loss, lp.Accuracy())
    return lp.Model(nn.Sequential(*layers).eval(), (x[:2],)), task

def passes(task):
    return {PASSES}

lp.run(net(8)[0], passes(net(8)[1]))  # what is imported and compiled once
model, task = net({SIZE})
size = sum(p.nbytes for p in model.module.parameters())
process, done, most = psutil.Process(), threading.Event(), [0]

def watch():
    while not done.is_set():
        most[0] = max(most[0], process.memory_info().rss)
        time.sleep(0.001)

before = process.memory_info().rss
watcher = threading.Thread(target=watch)
watcher.start()
lp.run(model, passes(task))
done.set()
watcher.join()
print(1 + (most[0] - before) / size)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("passes", "size"),
    [
        ("[lp.PruneChannels(0.5)]", "3072"),
        ("[lp.PruneChannels(0.5, importance=lp.Taylor(task))]", "3072"),
        ("[lp.PruneChannels(0.5, importance=lp.Fisher(task, samples=4))]", "3072"),
        ("[lp.PruneWeights(0.5)]", "3072"),
        ("[lp.PruneWeights(0.5, allotment=lp.PerLayer())]", "3072"),
        # holds matrices of one layer's inputs, too: a deep network's layers are small beside it
        ("[lp.PruneSecondOrder(task)]", "768, depth=24"),
    ],
)
def test_never_more_than_three_copies_of_the_weights(passes: str, size: str) -> None:
    script = SCRIPT.replace("{PASSES}", passes).replace("{SIZE}", size)
    result = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"},  # what is freed goes at once
    )
    assert float(result.stdout) <= 3.1  # the original's own among them
