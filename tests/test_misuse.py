"""What is given in the wrong form is refused at once, in words.

In a process of its own: here, types are checked at every call before our own words can be said.
"""

import subprocess
import sys

import pytest

CALLS = {
    "lp.run(net, [lp.FuseBatchNorm()])": "model must be a lilliput.Model, got Linear; "
    "pass lilliput.Model(net, example_inputs=(x,))",
    "lp.trace(net)": "model must be a lilliput.Model, got Linear",
    "lp.export(net, lp.get_target('onnxruntime-cpu'), '.')": "model must be a lilliput.Model",
    "check_task(net, None)": "model must be a lilliput.Model, got Linear",
    "check_task(model, [x])": "task must be a lilliput.Task, got list",
    "lp.Distill(None, net)": "teacher must be a lilliput.Model, got Linear",
    "lp.run(model, lp.FuseBatchNorm())": "passes must be a list, got FuseBatchNorm alone; "
    "pass [FuseBatchNorm(...)]",
    "lp.run(model, lp.FuseBatchNorm)": "passes must be a list, got FuseBatchNorm alone",
    "lp.run(model, 'FuseBatchNorm')": "passes must be a list, got str",
    "lp.run(model, (p for p in []))": "passes must be a list, got generator",
    "lp.run(model, [lp.FuseBatchNorm])": "FuseBatchNorm in passes is a class; "
    "pass an instance, FuseBatchNorm(...)",
    "lp.run(model, ['FuseBatchNorm'])": "a pass must be callable with a Model, "
    "got 'FuseBatchNorm'; a recipe's text is read with lilliput.recipe.read",
    "lp.run(model, [lp.PruneChannels(0.5, lp.Taylor(0.5))])": "the task of Taylor must be a "
    "lilliput.Task, got 0.5",
    "lp.Model(net, x)": "example_inputs must be a tuple, got Tensor; pass (x,)",
    "lp.Model(net, [x])": "example_inputs must be a tuple, got list; pass (x,)",
    "lp.Model(net, (x, 3))": "example_inputs must be a tuple of tensors, got int in it",
    "lp.Model(torch.nn.Linear, (x,))": "module must be an nn.Module, got type",
    "lp.Budget(max_size_bytes='50kB')": "max_size_bytes must be a number in bytes, "
    "such as 50_000, got '50kB'",
    "lp.Budget(max_latency_ms='2ms')": "max_latency_ms must be a number in milliseconds, such as",
    "lp.Budget(max_drop='1%')": "max_drop must be a number in the metric's own unit, such as 0.01",
}

SCRIPT = """
import torch
import lilliput as lp
from lilliput.core import check_task

net, x = torch.nn.Linear(4, 3), torch.zeros(1, 4)
model = lp.Model(net, (x,))
for call in {calls}:
    try:
        eval(call)
    except TypeError as error:
        print(error)
    else:
        print("nothing was said")
"""


@pytest.fixture(scope="module")
def said() -> dict[str, str]:
    script = SCRIPT.format(calls=list(CALLS))
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(zip(CALLS, done.stdout.splitlines(), strict=True))


@pytest.mark.parametrize("call", CALLS)
def test_says_what_was_asked_and_what_to_write(call: str, said: dict[str, str]) -> None:
    assert said[call].startswith(CALLS[call])
