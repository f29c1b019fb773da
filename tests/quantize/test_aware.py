from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.quantize.nets import JoinedIntegers, Shuffled, imaged

from lilliput.core import Model, Pass, Task, run
from lilliput.export import export, load
from lilliput.quantize import FakeQuantize, Precision, QuantizeAware, QuantizeStatic, quantizers
from lilliput.targets import get_target
from lilliput.testing import TINY_TASKS, PassContract, learned
from lilliput.train import FineTune

LITERT = get_target("litert-cpu").rules


class TestQuantizeAware(PassContract):
    @pytest.fixture
    def pass_(self, task: Task) -> Pass:
        return QuantizeAware(LITERT, task, samples=64)


def steps(model: Model, task: Task, count: int, rate: float) -> list[float]:
    """Trains in place with SGD."""
    model.module.train()
    optimizer = torch.optim.SGD(model.module.parameters(), lr=rate)
    losses = []
    for _ in range(count):
        for inputs, labels in task.batches("train"):
            loss = task.loss(model.module(*inputs), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
    return losses


def test_before_training_it_computes_what_static_quantization_computes() -> None:
    model, task = TINY_TASKS["image_classifier"]()
    aware, static = (run(model, [kind(LITERT, task)]) for kind in (QuantizeAware, QuantizeStatic))
    inputs, _ = next(task.batches("test"))
    torch.testing.assert_close(aware.module(*inputs), static.module(*inputs))


def test_every_parameter_gets_a_gradient_and_the_loss_falls() -> None:
    model, task = TINY_TASKS["image_classifier"]()
    aware = run(model, [QuantizeAware(LITERT, task)])
    losses = steps(aware, task, 5, rate=0.05)
    assert all(parameter.grad is not None for parameter in aware.module.parameters())
    assert sum(losses[-6:]) < sum(losses[:6])


def test_after_training_every_weight_lies_on_the_grid_of_its_own_range() -> None:
    model, task = TINY_TASKS["image_classifier"]()
    aware = run(model, [QuantizeAware(LITERT, task)])
    steps(aware, task, 1, rate=0.05)
    aware.module.eval()(*aware.example_inputs)
    for name, quantizer in quantizers(aware.module).items():
        if quantizer.axis is not None:
            weight = aware.module.get_parameter(name.removesuffix("_quantizer"))
            rows = weight.detach().flatten(1).abs().amax(1)
            torch.testing.assert_close(quantizer.scale, torch.maximum(rows, quantizer.least) / 127)
            codes = quantizer(weight) / quantizer.scale.view(-1, *[1] * (weight.dim() - 1))
            torch.testing.assert_close(codes, codes.round(), atol=1e-3, rtol=0)


@pytest.mark.parametrize("learns_scales", [False, True])
@pytest.mark.parametrize("target", ["onnxruntime-cpu", "litert-cpu"])
def test_the_file_of_a_trained_network_gives_what_it_gives(
    target: str, learns_scales: bool, tmp_path: Path
) -> None:
    model, task = TINY_TASKS["image_classifier"]()
    chosen = get_target(target)
    precision = Precision({"*": 4, "head": 8})
    aware = QuantizeAware(
        chosen.rules, task, samples=64, precision=precision, learns_scales=learns_scales
    )
    trained = run(model, [aware, FineTune(task, epochs=1, learning_rate=0.01)])
    artifact = export(trained, chosen, tmp_path)
    inputs, _ = next(task.batches("test"))
    (given,) = load(artifact.path, artifact.format)(tuple(x.numpy() for x in inputs))
    with torch.no_grad():
        wanted = trained.module.eval()(*inputs)
    step = float((wanted.amax() - wanted.amin()) / 255)
    assert float((torch.from_numpy(given) - wanted).abs().mean()) < step


def test_a_scale_shared_by_narrow_and_wide_tensors_does_not_narrow_in_training() -> None:
    model, task = imaged(JoinedIntegers())
    aware = run(model, [QuantizeAware(LITERT, task, momentum=0.1)])
    quantizer = aware.module.get_submodule("a_out_quantizer")
    assert isinstance(quantizer, FakeQuantize)
    before = float(quantizer.high)
    steps(aware, task, 5, rate=0.0)
    assert float(quantizer.high) > 0.75 * before


def test_dropout_does_not_widen_ranges() -> None:
    model, task = imaged(Shuffled())
    aware = run(model, [QuantizeAware(LITERT, task)])
    before = {name: quantizer.high.clone() for name, quantizer in quantizers(aware.module).items()}
    steps(aware, task, 1, rate=0.0)
    for name, quantizer in quantizers(aware.module).items():
        if name != "head_2_out_quantizer":  # reads what dropout made larger
            torch.testing.assert_close(quantizer.high, before[name], rtol=0.1, atol=0.1)


def test_trains_in_bfloat16_autocast() -> None:
    model, task = TINY_TASKS["image_classifier"]()
    aware = run(model, [QuantizeAware(LITERT, task)])
    with torch.autocast("cpu", torch.bfloat16):
        losses = steps(aware, task, 3, rate=0.05)
    assert all(torch.tensor(losses).isfinite())
    assert all(q.scale.dtype == torch.float32 for q in quantizers(aware.module).values())


def test_training_regains_what_few_bits_cost() -> None:
    model, task = TINY_TASKS["image_classifier"]()
    model = learned(model, task, epochs=3)
    rules = replace(
        LITERT,
        weight=replace(LITERT.weight, bits=2),
        activation=replace(LITERT.activation, bits=4),
    )
    aware = run(model, [QuantizeAware(rules, task)])

    def loss() -> float:
        aware.module.eval()
        with torch.no_grad():
            return sum(
                float(task.loss(aware.module(*inputs), labels))
                for inputs, labels in task.batches("validation")
            )

    before = loss()
    steps(aware, task, 5, rate=0.02)
    assert loss() < 0.8 * before


@pytest.mark.parametrize("momentum", [-0.1, 1.5])
def test_the_momentum_is_checked(momentum: float) -> None:
    _, task = TINY_TASKS["image_classifier"]()
    with pytest.raises(ValueError, match=f"momentum must be 0 to 1, got {momentum}"):
        QuantizeAware(LITERT, task, momentum=momentum)
