"""Networks of these tests, quantized for a target."""

import os
import sys
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
import torch

from lilliput.core import Model, run
from lilliput.quantize import QuantizeStatic
from lilliput.targets import get_target
from lilliput.testing import TINY_TASKS, learned


@cache
def quantized(tiny: str, target: str) -> Model:
    """One of the tiny tasks' networks, int8 as the target wants it."""
    model, task = TINY_TASKS[tiny]()
    return run(learned(model, task, epochs=2), [QuantizeStatic(get_target(target).rules, task)])


def examples(tiny: str, count: int) -> tuple[torch.Tensor, ...]:
    """Inputs that were neither exported with nor calibrated on."""
    inputs, _ = next(TINY_TASKS[tiny]()[1].batches("test"))
    return tuple(x[:count] for x in inputs)


@cache
def cifar10() -> ModuleType:
    """The example with the given ResNets, and where their weights are."""
    folder = os.environ.get("LILLIPUT_DATA")
    if not folder:
        pytest.skip("LILLIPUT_DATA names no folder with the data")
    file = Path(__file__).parents[2] / "examples" / "cifar10.py"
    spec = spec_from_file_location("cifar10", file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules["cifar10"] = module
    spec.loader.exec_module(module)
    module.lp.data_dir = lambda: Path(folder)
    return module
