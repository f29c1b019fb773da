import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset

from lilliput.core import Model, Pass, PassError, Task, TaskError, run
from lilliput.graph import capture
from lilliput.testing import TINY_TASKS, PassContract, learned
from lilliput.train import (
    SGD,
    Constant,
    Distill,
    FineTune,
    Hint,
    MeanSquaredErrorMatch,
    Training,
)
from lilliput.train.hints import features_of

PLAIN = Training(
    SGD(momentum=0.0, weight_decay=0.0, nesterov=False), Constant(), precision="32-true"
)
CLASSIFIERS = {"image_classifier", "two_input_transformer"}


def distance(a: Model, b: Model, task: Task) -> float:
    """Mean squared difference of outputs on the training data."""
    total = 0.0
    with torch.no_grad():
        for inputs, _ in task.batches("train"):
            ours, theirs = (torch.utils._pytree.tree_leaves(m.module(*inputs)) for m in (a, b))
            total += sum(
                functional.mse_loss(x, y).item() for x, y in zip(ours, theirs, strict=True)
            )
    return total


@pytest.fixture(scope="module")
def teachers() -> dict[str, Model]:
    return {name: learned(*make()) for name, make in TINY_TASKS.items()}


class TestDistill(PassContract):
    @pytest.fixture
    def pass_(self, tiny: str, task: Task, teachers: dict[str, Model]) -> Pass:
        match = None if tiny in CLASSIFIERS else MeanSquaredErrorMatch()
        return Distill(task, teachers[tiny], 3, 0.02, temperature=2.0, match=match)

    def test_brings_the_student_nearer_to_its_teacher(
        self, done: Model, model: Model, pass_: Distill, task: Task
    ) -> None:
        assert distance(done, pass_.teacher, task) < distance(model, pass_.teacher, task)

    def test_leaves_its_teacher_alone(self, pass_: Distill, model: Model) -> None:
        teacher = pass_.teacher.module
        before = {name: value.clone() for name, value in teacher.state_dict().items()}
        run(model, [pass_])
        assert all(torch.equal(v, before[name]) for name, v in teacher.state_dict().items())
        assert all(p.requires_grad for p in teacher.parameters())


@pytest.fixture
def classifier(teachers) -> tuple[Model, Model, Task]:
    return (*TINY_TASKS["image_classifier"](), teachers["image_classifier"])


def test_a_step_follows_hintons_loss(classifier) -> None:
    """Source: Hinton et al. 2015: (1 - a) hard + a T^2 KL."""
    model, task, teacher = classifier
    (inputs,), labels = next(task.batches("train"))
    one = Task("one", [(inputs, labels)], [], task.loss, task.metric)
    student = model.clone().module.train()
    scores, wanted = student(inputs), teacher.module(inputs).detach()
    soft = functional.kl_div(
        functional.log_softmax(scores / 3, 1), functional.softmax(wanted / 3, 1), reduction="sum"
    )
    loss = 0.3 * functional.cross_entropy(scores, labels) + 0.7 * 9 * soft / len(labels)
    loss.backward()
    done = run(model, [Distill(one, teacher, 1, 0.1, 3.0, 0.7, training=PLAIN)])
    pairs = zip(done.module.parameters(), student.parameters(), strict=True)
    for found, parameter in pairs:
        torch.testing.assert_close(found, parameter - 0.1 * parameter.grad, rtol=1e-4, atol=1e-5)


def test_alpha_1_needs_no_labels(classifier) -> None:
    model, task, teacher = classifier

    def never(_outputs, _labels) -> torch.Tensor:
        raise AssertionError("the task's loss was asked")

    unlabelled = Task("unlabelled", task.train, [], never, task.metric)
    done = run(model, [Distill(unlabelled, teacher, alpha=1.0)])
    assert distance(done, teacher, task) < distance(model, teacher, task)


def test_alpha_0_without_hints_never_asks_the_teacher(classifier) -> None:
    model, task, teacher = classifier
    asked = []
    watched = teacher.clone()
    watched.module.register_forward_hook(lambda *_: asked.append(1))
    done = run(model, [Distill(task, watched, alpha=0.0, training=PLAIN)])
    assert not asked
    tuned = run(model, [FineTune(task, learning_rate=0.01, training=PLAIN)])
    pairs = zip(done.module.parameters(), tuned.module.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


class Wide(nn.Module):
    """The tiny classifier's shape of stem, twice as wide."""

    def __init__(self) -> None:
        super().__init__()
        self.front = nn.Sequential(nn.Conv2d(3, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU())
        self.head = nn.Linear(24, 4)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.head(self.front(image).mean((2, 3)))


def feature_error(student: Model, teacher: Model, task: Task) -> float:
    """What is left of the teacher's features after the best linear map, found by least squares."""
    (inputs,), _ = next(task.batches("train"))
    with torch.no_grad():
        ours = features_of(student.module, ["stem"], (inputs,))[1][0]
        theirs = features_of(teacher.module, ["front"], (inputs,))[1][0]
    a, b = (x.movedim(1, -1).flatten(0, -2).double() for x in (ours, theirs))
    return float((a @ torch.linalg.lstsq(a, b).solution - b).square().mean())


@pytest.mark.parametrize("is_captured", [False, True])
def test_hints_bring_features_together_across_widths(is_captured: bool) -> None:
    model, task = TINY_TASKS["image_classifier"]()
    torch.manual_seed(0)
    teacher = learned(Model(Wide(), model.example_inputs), task, epochs=2)
    student = capture(model) if is_captured else model
    hints = (Hint("stem" if not is_captured else "stem.1", "front", weight=10.0),)
    if is_captured:
        hints = (Hint("stem.1", "front.1", weight=10.0),)
    done = run(student, [Distill(task, teacher, 20, 0.05, alpha=0.1, features=hints)])
    assert set(done.module.state_dict()) == set(student.module.state_dict())
    if not is_captured:
        assert feature_error(done, teacher, task) < 0.9 * feature_error(model, teacher, task)


def test_is_resumed_with_its_projections(tmp_path) -> None:
    model, task = TINY_TASKS["image_classifier"]()
    torch.manual_seed(0)
    teacher = Model(Wide().eval(), model.example_inputs)

    class Dies:
        def __init__(self, at: int) -> None:
            self.at = at

        def on_step(self, module: nn.Module, step: int, steps: int, /) -> None:
            if step == self.at:
                raise RuntimeError("died")

        def on_epoch(self, module: nn.Module, epoch: int, epochs: int, /) -> None: ...

        def penalty(self, module: nn.Module, /) -> None: ...

    def distil(at: int, folder) -> Model:
        pass_ = Distill(task, teacher, 3, features=(Hint("stem", "front"),), hooks=(Dies(at),))
        object.__setattr__(pass_, "checkpoint", folder)
        return run(model, [pass_])

    with pytest.raises(PassError, match="died"):
        distil(9, tmp_path)
    resumed, expected = distil(99, tmp_path), distil(99, None)
    assert torch.equal(resumed.module.head.weight, expected.module.head.weight)


def test_a_loader_of_unknown_length_is_distilled_on(classifier) -> None:
    model, task, teacher = classifier

    class Stream(IterableDataset):
        def __iter__(self):
            return iter(task.train)

    stream = DataLoader(Stream(), batch_size=None)
    streamed = Task("stream", stream, [], task.loss, task.metric)
    done, expected = (run(model, [Distill(data, teacher)]) for data in (streamed, task))
    assert torch.equal(done.module.head.weight, expected.module.head.weight)


def test_soft_targets_refuse_a_regressor(teachers) -> None:
    model, task = TINY_TASKS["two_output_regressor"]()
    with pytest.raises(TaskError, match="use match=MeanSquaredErrorMatch"):
        run(model, [Distill(task, teachers["two_output_regressor"])])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alpha": 1.5}, "alpha must be between 0 and 1, got 1.5"),
        ({"temperature": 0.0}, "temperature must be more than 0, got 0"),
        ({"epochs": -1}, "epochs must be 1 or more, got -1"),
    ],
)
def test_refuses_settings_out_of_range(classifier, settings, message) -> None:
    _, task, teacher = classifier
    with pytest.raises(ValueError, match=message):
        Distill(task, teacher, **settings)
