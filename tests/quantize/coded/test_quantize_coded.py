"""Weights become multiples of one step each; limits are kept by the network that comes out."""

from typing import ClassVar

import pytest
import torch
from torch import nn

from lilliput.core import Accuracy, BudgetError, Model, Pass, Task, run
from lilliput.pack import load_packed, pack_model
from lilliput.quantize import QuantizeCoded
from lilliput.testing import PassContract


class TestQuantizeCoded(PassContract):
    tasks: ClassVar[tuple[str, ...]] = ("image_classifier",)

    @pytest.fixture
    def pass_(self, task: Task) -> Pass:
        return QuantizeCoded(task, max_distance=0.05, samples=8, rounding="nearest")


def net_and_task() -> tuple[Model, Task]:
    """A classifier with BatchNorm, and inputs for it."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Linear(6, 16),
        nn.BatchNorm1d(16),
        nn.ReLU(),
        nn.Linear(16, 24),
        nn.ReLU(),
        nn.Linear(24, 5),
    ).eval()
    inputs = 2 * torch.randn(48, 6)
    with torch.no_grad():
        net[-1].weight.mul_(12)
        labels = net(inputs).argmax(1)
    batches = [(inputs, labels)]
    task = Task("tiny", batches, batches, nn.functional.cross_entropy, Accuracy(), test=batches)
    return Model(net, (inputs[:1],)), task


def steps_off(weight: torch.Tensor) -> float:
    """How far numbers are from multiples of the smallest gap between them."""
    sizes = weight.double().flatten().unique()
    step = (sizes[1:] - sizes[:-1]).min()
    return float((sizes / step - (sizes / step).round()).abs().max())


def kl(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """In nats, by PyTorch's own function."""
    ours, theirs = ours.log_softmax(1), theirs.log_softmax(1)
    return float(nn.functional.kl_div(ours, theirs, log_target=True, reduction="batchmean"))


@pytest.mark.parametrize("rounding", ["nearest", "second-order"])
def test_outputs_stay_within_the_distance_and_weights_are_multiples(rounding: str) -> None:
    model, task = net_and_task()
    small = run(model, [QuantizeCoded(task, max_distance=0.02, samples=48, rounding=rounding)])
    for name in ("0.weight", "3.weight", "5.weight"):
        assert steps_off(small.module.get_parameter(name).detach()) < 0.01
    inputs, _ = task.train[0]
    with torch.no_grad():
        assert 0.002 < kl(small.module(inputs), model.module(inputs)) <= 0.02
    assert not any(
        "quantizer" in name or name.endswith("_float") for name in small.module.state_dict()
    )


def test_less_distance_takes_more_bytes(tmp_path) -> None:
    model, task = net_and_task()
    sizes = []
    for limit in (0.1, 0.01, 0.001):
        small = run(
            model, [QuantizeCoded(task, max_distance=limit, samples=48, rounding="nearest")]
        )
        packed = pack_model(small, tmp_path / "net.lil")
        sizes.append(sum(entry.stored_bytes for entry in packed.contents.entries))
        back = load_packed(packed.path)
        for name, value in small.module.state_dict().items():
            assert torch.equal(back[name], value)
    assert sizes == sorted(sizes)
    assert sizes[2] > 1.2 * sizes[0]


def test_bytes_are_kept() -> None:
    model, task = net_and_task()
    small = run(model, [QuantizeCoded(task, max_bytes=700, samples=48, rounding="nearest")])
    whole = 6 * 40 + 5 * 4  # what a file says of each tensor, and the last bias, which stays float
    for name, value in small.module.named_parameters():
        if name != "5.bias":
            counts = value.unique(return_counts=True)[1].double()
            whole += float((counts * (counts.sum() / counts).log2()).sum()) / 8
    assert 600 < whole <= 700


def test_a_drop_is_kept_by_the_metric() -> None:
    model, task = net_and_task()
    small = run(model, [QuantizeCoded(task, max_drop=0.05, samples=48, rounding="nearest")])
    inputs, labels = task.validation[0]
    assert float((small.module(inputs).argmax(1) == labels).double().mean()) >= 0.93


def test_a_limit_that_cannot_be_kept_names_the_closest_and_the_curve() -> None:
    model, task = net_and_task()
    with pytest.raises(BudgetError, match=r"distance within 1e-12; allow at least .*Tried"):
        run(model, [QuantizeCoded(task, max_distance=1e-12, samples=16, rounding="nearest")])


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({}, "got none"),
        ({"max_drop": 0.1, "max_bytes": 9}, "got max_drop and max_bytes"),
        ({"max_distance": -1.0}, "max_distance must be more than 0, got -1.0"),
        ({"max_drop": 0.1, "samples": 0}, "samples must be 1 or more, got 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(limits, message) -> None:
    with pytest.raises(ValueError, match=message):
        QuantizeCoded(net_and_task()[1], **limits)


class Tied(nn.Module):
    """Two layers of one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(24, 24), nn.Linear(24, 24), nn.Linear(24, 5)
        self.second.weight = self.first.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 9 * self.head(torch.relu(self.second(torch.relu(self.first(x)))))


def test_tied_weights_are_rounded_and_stored_once(tmp_path) -> None:
    torch.manual_seed(0)
    net, inputs = Tied().eval(), 2 * torch.randn(48, 24)
    batches = [(inputs, net(inputs).argmax(1))]
    task = Task("tied", batches, batches, nn.functional.cross_entropy, Accuracy(), test=batches)
    sizes = []
    for distance in (0.0005, 0.05):
        found = run(
            Model(net, (inputs[:1],)), [QuantizeCoded(task, max_distance=distance, samples=48)]
        )
        state = found.module.state_dict()
        assert torch.equal(state["first.weight"], state["second.weight"])
        assert steps_off(state["first.weight"]) < 1e-3
        packed = pack_model(found, tmp_path / "net.lil")
        sizes.append({entry.name: entry.stored_bytes for entry in packed.contents.entries})
        assert min(sizes[-1]["first.weight"], sizes[-1]["second.weight"]) == 0
    assert sum(sizes[1].values()) < 0.8 * sum(sizes[0].values())


class Recurrent(nn.Module):
    """A layer that has no step, and one that has."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.LSTM(6, 8, batch_first=True), nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.cell(x)[0][:, -1])


def test_a_layer_without_a_step_is_told() -> None:
    torch.manual_seed(0)
    net, inputs = Recurrent().eval(), torch.randn(24, 4, 6)
    batches = [(inputs, net(inputs).argmax(1))]
    task = Task("steps", batches, batches, nn.functional.cross_entropy, Accuracy(), test=batches)
    small = run(Model(net, (inputs[:1],)), [QuantizeCoded(task, max_distance=0.05, samples=24)])
    notes = " ".join(note.text for note in small.notes)
    assert "has no step: each of its numbers keeps some 9 bits" in notes
    assert "stays float" not in notes
    assert "on 24 inputs" in notes
