import pytest
import torch
from torch.nn import functional

import lilliput as lp
from lilliput.core import Accuracy, Task, TaskError
from lilliput.recipe import read
from lilliput.testing.nets import two_output_regressor
from lilliput.train import MeanSquaredErrorMatch, SoftTargets
from lilliput.train.losses import hard_loss, smoothed

LABELS = torch.tensor([1, 0, 3])


def scores(seed: int) -> torch.Tensor:
    return torch.randn(3, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_gradient_of_soft_targets_is_hintons() -> None:
    """Source: Hinton et al. 2015, eq. 2: dC/dz = (q - p) / T, here times T^2 and over the batch."""
    student, teacher, temperature = scores(0).float().requires_grad_(), scores(1).float(), 3.0
    SoftTargets(temperature)(student, teacher, LABELS).backward()
    q = torch.softmax(student / temperature, 1)
    p = torch.softmax(teacher / temperature, 1)
    torch.testing.assert_close(student.grad, (q - p) / temperature * temperature**2 / 3)


def test_soft_targets_are_torchs_divergence() -> None:
    student, teacher = scores(0).float(), scores(1).float()
    expected = 16 * functional.kl_div(
        functional.log_softmax(student / 4, 1),
        functional.softmax(teacher / 4, 1),
        reduction="batchmean",
    )
    torch.testing.assert_close(SoftTargets(4.0)(student, teacher, LABELS), expected)


def test_soft_targets_take_a_label_for_each_pixel() -> None:
    labels = torch.zeros(2, 5, 5, dtype=torch.int64)
    same = torch.randn(2, 4, 5, 5)
    assert SoftTargets()(same, same, labels).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("outputs", "labels"),
    [
        (torch.zeros(3, 1), torch.zeros(3, 1)),
        (torch.zeros(3), torch.zeros(3, dtype=torch.int64)),
        ((torch.zeros(3, 2), torch.zeros(3, 2)), torch.zeros(3, dtype=torch.int64)),
        (torch.zeros(3, 4), torch.zeros(3, 4, dtype=torch.int64)),
    ],
)
def test_soft_targets_refuse_what_is_not_a_classifier(outputs, labels) -> None:
    with pytest.raises(TaskError, match=r"SoftTargets needs class scores.*MeanSquaredErrorMatch"):
        SoftTargets()(outputs, outputs, labels)


def test_what_soft_targets_propose_is_a_recipe() -> None:
    with pytest.raises(TaskError) as caught:
        SoftTargets()(torch.zeros(3, 1), torch.zeros(3, 1), torch.zeros(3, 1))
    line = str(caught.value).split("in a recipe ")[1]
    model, task = two_output_regressor()
    (distill,) = read(f'[[pass]]\nname = "Distill"\n{line}', task, teacher=model)
    assert distill == lp.Distill(task, model, match=lp.MeanSquaredErrorMatch())


def test_soft_targets_refuse_a_teacher_of_other_classes() -> None:
    with pytest.raises(TaskError, match=r"the teacher gives \[3, 9\].*the student \[3, 4\]"):
        SoftTargets()(torch.zeros(3, 4), torch.zeros(3, 9), LABELS)


def test_squared_errors_of_parts_add_up() -> None:
    student = {"a": torch.ones(2, 3), "b": torch.zeros(4)}
    teacher = {"a": torch.full((2, 3), 3.0), "b": torch.full((4,), 0.5)}
    assert MeanSquaredErrorMatch()(student, teacher, None).item() == 4 + 0.25


def test_squared_errors_refuse_other_shapes() -> None:
    with pytest.raises(TaskError, match=r"teacher gives \[2, 1\].*the student \[2, 3\]"):
        MeanSquaredErrorMatch()(torch.ones(2, 3), torch.ones(2, 1), None)


@pytest.mark.parametrize("smoothing", [0.1, 0.5])
def test_smoothing_is_torchs(smoothing: float) -> None:
    outputs = scores(0).float()
    expected = functional.cross_entropy(outputs, LABELS, label_smoothing=smoothing)
    found = smoothed(functional.cross_entropy(outputs, LABELS), outputs, LABELS, smoothing)
    torch.testing.assert_close(found, expected)


def test_smoothing_refuses_numbers_for_labels() -> None:
    with pytest.raises(TaskError, match=r"label_smoothing needs class scores.*set it to 0"):
        smoothed(torch.tensor(1.0), torch.zeros(3, 4), torch.zeros(3), 0.1)


def test_a_label_out_of_range_is_named() -> None:
    task = Task("toy", [], [], functional.cross_entropy, Accuracy())
    with pytest.raises(TaskError, match=r"task 'toy' raised IndexError.*labels \[2\].*from 1 to 9"):
        hard_loss(task, 0.0, torch.zeros(2, 4), torch.tensor([1, 9]))
