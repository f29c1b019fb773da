import importlib.util
import os
from pathlib import Path
from types import ModuleType

import pytest
import torch
from tests.quantize.nets import Branching, Joined, JoinedIntegers, Shuffled, imaged
from torch import Tensor
from torch.utils._pytree import tree_leaves

from lilliput.core import Model, Pass, Task, UnsupportedError, run
from lilliput.graph import is_captured, trace
from lilliput.quantize import (
    Entropy,
    MeanSquaredError,
    MinMax,
    Observer,
    Percentile,
    QuantizeStatic,
)
from lilliput.targets import get_target, target_names
from lilliput.testing import TINY_TASKS, PassContract, learned

OBSERVERS = [MinMax(), Percentile(), MeanSquaredError(), Entropy()]


class TestQuantizeStatic(PassContract):
    @pytest.fixture
    def pass_(self, task: Task) -> Pass:
        return QuantizeStatic(get_target("onnxruntime-cpu").rules, task, samples=64)


def outputs(model: Model, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    with torch.no_grad():
        return tree_leaves(model.module.eval()(*inputs))


def signal_to_noise(model: Model, quantized: Model, inputs: tuple[Tensor, ...]) -> float:
    """The lowest of all outputs, in dB."""
    pairs = zip(outputs(model, inputs), outputs(quantized, inputs), strict=True)
    return min(float(10 * torch.log10(a.var() / (a - b).square().mean())) for a, b in pairs)


@pytest.mark.parametrize("tiny", TINY_TASKS)
@pytest.mark.parametrize("target", target_names())
def test_eight_bits_stay_close_to_the_float_network(tiny: str, target: str) -> None:
    model, task = TINY_TASKS[tiny]()
    model = learned(model, task, epochs=1)
    quantized = run(model, [QuantizeStatic(get_target(target).rules, task)])
    inputs, _ = next(task.batches("test"))
    assert is_captured(quantized.module)
    # 8 bits of a Gaussian give about 40 dB each; a few layers of it leave 20
    assert signal_to_noise(model, quantized, inputs) > 20


@pytest.mark.parametrize("net", [Joined, JoinedIntegers, Shuffled, Branching])
@pytest.mark.parametrize("target", target_names())
def test_joined_shuffled_and_branching_networks_stay_close(
    net: type[torch.nn.Module], target: str
) -> None:
    model, task = imaged(net())
    quantized = run(model, [QuantizeStatic(get_target(target).rules, task)])
    inputs, _ = next(task.batches("validation"))
    assert signal_to_noise(model, quantized, inputs) > 20
    trace(quantized)


@pytest.mark.parametrize("observer", OBSERVERS)
def test_every_observer_gives_a_working_network(observer: Observer) -> None:
    model, task = TINY_TASKS["image_classifier"]()
    model = learned(model, task, epochs=3)
    quantized = run(
        model, [QuantizeStatic(get_target("onnxruntime-cpu").rules, task, observer=observer)]
    )
    inputs, _ = next(task.batches("test"))
    (expected,), (scores,) = (outputs(network, inputs) for network in (model, quantized))
    assert float((scores.argmax(1) == expected.argmax(1)).float().mean()) > 0.9


def test_the_numbers_asked_for_are_checked() -> None:
    _, task = TINY_TASKS["image_classifier"]()
    with pytest.raises(ValueError, match="samples must be 1 or more, got 0"):
        QuantizeStatic(get_target("litert-cpu").rules, task, samples=0)


def test_a_network_with_nothing_to_quantize_is_refused() -> None:
    _, task = TINY_TASKS["image_classifier"]()
    model = Model(torch.nn.ReLU().eval(), (torch.randn(2, 3),))
    with pytest.raises(UnsupportedError, match="nothing to quantize"):
        run(model, [QuantizeStatic(get_target("litert-cpu").rules, task)])


@pytest.mark.slow
@pytest.mark.parametrize("target", target_names())
def test_resnet_20_loses_at_most_0_3_points_on_2000_images(target: str) -> None:
    if "LILLIPUT_DATA" not in os.environ:
        pytest.skip("needs LILLIPUT_DATA")
    cifar10 = _example("cifar10")
    model, task = cifar10.resnet20()
    quantized = run(model, [QuantizeStatic(get_target(target).rules, task)])
    pixels, labels = cifar10.images("test")
    right = {"float": 0, "int8": 0}
    for start in range(0, 2000, 250):
        inputs = (cifar10.normalise(pixels[start : start + 250]),)
        for name, network in (("float", model), ("int8", quantized)):
            scores = outputs(network, inputs)[0]
            right[name] += int((scores.argmax(1) == labels[start : start + 250]).sum())
    assert right["int8"] >= right["float"] - 6


def _example(name: str) -> ModuleType:
    path = Path(__file__).parents[2] / "examples" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
