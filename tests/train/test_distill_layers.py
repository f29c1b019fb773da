"""Layer-wise distillation against least squares, and on networks that were made smaller."""

import copy
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from lilliput.core import Accuracy, Model, PassError, Task, run
from lilliput.edit import FuseBatchNorm
from lilliput.prune import PruneChannels, RemoveBlocks
from lilliput.recipe import read, write
from lilliput.testing import TINY_TASKS, PassContract
from lilliput.testing.nets import learned
from lilliput.train import DistillLayers, RecalibrateNorms

FACTORS: dict[str, str] = {
    "image_classifier": "conv1",
    "image_to_image": "middle",
    "two_input_transformer": "head",
    "two_output_regressor": "body.2",
}


def reshaped(model: Model, name: str) -> Model:
    """With two layers of low rank in a layer's place, drawn anew."""
    small = model.clone()
    layer = small.module.get_submodule(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        if isinstance(layer, nn.Linear):
            rank = layer.in_features // 2
            first = nn.Linear(layer.in_features, rank)
            second: nn.Module = nn.Linear(rank, layer.out_features)
        else:
            rank = layer.in_channels // 2
            first = nn.Conv2d(layer.in_channels, rank, 3, padding=1)
            second = nn.Conv2d(rank, layer.out_channels, 1)
    small.module.set_submodule(name, nn.Sequential(first, second))
    return small


class TestContract(PassContract):
    tasks = ("image_classifier", "two_input_transformer")

    @pytest.fixture
    def model(self, tiny: str) -> Model:
        return reshaped(TINY_TASKS[tiny]()[0], FACTORS[tiny])

    @pytest.fixture
    def pass_(self, tiny: str, task: Task) -> DistillLayers:
        return DistillLayers(task, TINY_TASKS[tiny]()[0], samples=64, steps=5)


class TestContractForNamedLayers(PassContract):
    tasks: ClassVar = ("two_output_regressor",)

    @pytest.fixture
    def pass_(self, task: Task, model: Model) -> DistillLayers:
        return DistillLayers(task, model, ("speed", "body.0"), samples=64, steps=5)


def agreement(model: Model, teacher: Model, task: Task) -> float:
    """Mean squared distance of outputs on the test data, as a share of the teacher's variance."""
    ours, theirs = [], []
    with torch.no_grad():
        for inputs, _ in task.batches("test"):
            for found, net in ((ours, model), (theirs, teacher)):
                outputs = net.module.eval()(*inputs)
                found.append(torch.cat(outputs, 1) if isinstance(outputs, tuple) else outputs)
    wanted = torch.cat(theirs)
    return float((torch.cat(ours) - wanted).square().mean() / wanted.var())


def metric(model: Model, task: Task) -> float:
    found = task.fresh_metric()
    with torch.no_grad():
        for inputs, labels in task.batches("test"):
            found.update(model.module.eval()(*inputs), labels)
    return float(found.compute())


@pytest.mark.parametrize("tiny", TINY_TASKS)
def test_a_network_with_a_layer_of_low_rank_recovers(tiny: str) -> None:
    model, task = TINY_TASKS[tiny]()
    teacher = learned(model, task)
    small = reshaped(teacher, FACTORS[tiny])
    done = run(small, [DistillLayers(task, teacher, steps=200, learning_rate=0.01)])
    before, after = agreement(small, teacher, task), agreement(done, teacher, task)
    assert after < before / 2
    drops = [abs(metric(x, task) - metric(teacher, task)) for x in (small, done)]
    assert drops[1] <= drops[0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_network_of_half_precision_learns_and_stays_so(dtype: torch.dtype) -> None:
    model, task = TINY_TASKS["two_output_regressor"]()
    teacher = Model(model.module.to(dtype), (model.example_inputs[0].to(dtype),))
    small = reshaped(teacher, FACTORS["two_output_regressor"])
    small.module.to(dtype)
    halves = [(batch[0].to(dtype), batch[1]) for batch in task.train]
    task = Task("halves", halves, halves, task.loss, task.metric, split=task.split)
    done = run(small, [DistillLayers(task, teacher, samples=64, steps=30)])
    assert {p.dtype for p in done.module.parameters()} == {dtype}
    assert not done.notes
    assert not torch.equal(done.module.body[2][0].weight, small.module.body[2][0].weight)


def test_a_linear_part_ends_at_the_least_squares_optimum() -> None:
    """A narrow input, so that the teacher's answers cannot be had in full."""
    torch.manual_seed(0)
    teacher = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 3))
    student = copy.deepcopy(teacher)
    with torch.no_grad():
        student[0].weight[2:] = 0  # the part reads two directions only
        student[1].reset_parameters()
    x = torch.randn(320, 6)
    data = [(x[:160], x[:160, 0]), (x[160:], x[160:, 0])]
    task = Task("numbers", data, data, nn.functional.mse_loss, Accuracy())
    pass_ = DistillLayers(
        task, Model(teacher, (x[:2],)), ("1",), samples=320, steps=600, learning_rate=0.03, batch=32
    )
    done = run(Model(student, (x[:2],)), [pass_]).module
    with torch.no_grad():
        read, wanted = student[0](x[:288]), teacher(x[:288])  # the last batch of ten is held back
        columns = torch.cat([read, torch.ones(288, 1)], 1)
        best = columns @ torch.linalg.pinv(columns) @ wanted
        optimum = (best - wanted).square().mean()
        start = (student[1](read) - wanted).square().mean()
        reached = (done[1](read) - wanted).square().mean()
    assert optimum > 0.01
    assert (reached - optimum) / (start - optimum) < 1e-3
    assert torch.equal(done[0].weight, student[0].weight)


def test_later_parts_make_up_for_earlier_ones() -> None:
    """Taught on what the teacher's first layer gives, the second could not be so near."""
    model, task = TINY_TASKS["two_output_regressor"]()
    teacher = learned(model, task)
    small = teacher.clone()
    with torch.no_grad():
        small.module.body[0].weight[::2] = 0
    settings = {"steps": 200, "learning_rate": 0.01}
    done = run(small, [DistillLayers(task, teacher, ("body.2",), **settings)])
    assert torch.equal(done.module.body[0].weight, small.module.body[0].weight)
    assert agreement(done, teacher, task) < agreement(small, teacher, task) / 2


def test_a_narrower_block_is_taught_as_a_whole(pruned: tuple[Model, Model, Task]) -> None:
    small, teacher, task = pruned
    done = run(small, [DistillLayers(task, teacher, steps=50, learning_rate=0.003)])
    changed = {
        name.rpartition(".")[0]
        for name, p in done.module.named_parameters()
        if not torch.equal(p, small.module.get_parameter(name))
    }
    assert changed == {"1.conv1", "1.bn1", "1.conv2", "1.bn2"}
    assert agreement(done, teacher, task) < agreement(small, teacher, task) / 2
    measured = run(small, [RecalibrateNorms(task)])
    assert agreement(done, teacher, task) < agreement(measured, teacher, task)


def test_a_teacher_with_batch_norms_teaches_a_student_without(
    pruned: tuple[Model, Model, Task],
) -> None:
    small, teacher, task = pruned
    folded = run(small, [FuseBatchNorm()])
    done = run(folded, [DistillLayers(task, teacher, steps=50, learning_rate=0.003)])
    assert agreement(done, teacher, task) < agreement(folded, teacher, task) / 2
    stem = run(reshaped_stem(folded), [DistillLayers(task, teacher, ("0.0",), steps=100)])
    assert agreement(stem, teacher, task) < agreement(reshaped_stem(folded), teacher, task)


def reshaped_stem(model: Model) -> Model:
    small = model.clone()
    small.module[0][0].weight.data.mul_(0.5)
    return small


def test_attention_with_a_mask_is_taught_as_a_whole() -> None:
    model, task = TINY_TASKS["two_input_transformer"]()
    teacher = learned(model, task)
    small = run(teacher, [PruneChannels({"encoder.linear1": 0.75})])
    done = run(small, [DistillLayers(task, teacher, learning_rate=0.003)])
    assert agreement(done, teacher, task) < agreement(small, teacher, task) / 2
    assert torch.equal(done.module.head.weight, small.module.head.weight)
    assert done.notes == ()


class Block(nn.Module):
    """A residual block."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(width, 16, 3, 1, 1), nn.BatchNorm2d(16)
        self.conv2, self.bn2 = nn.Conv2d(16, width, 3, 1, 1), nn.BatchNorm2d(width)

    def forward(self, x: Tensor, times: float = 1.0, *, mask: Tensor | None = None) -> Tensor:
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu_()))
        return x + times * (y if mask is None else y * mask)


@pytest.fixture
def pruned() -> tuple[Model, Model, Task]:
    """A residual network without half of the channels inside its block, its teacher, the task."""
    _, task = TINY_TASKS["image_classifier"]()
    torch.manual_seed(0)
    stem = nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
    head = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 4))
    net = nn.Sequential(stem, Block(8), nn.ReLU(inplace=True), head).eval()
    teacher = learned(Model(net, (torch.randn(2, 3, 8, 8),)), task, epochs=3)
    return run(teacher, [PruneChannels({"1.conv1": 0.5})]), teacher, task


def test_the_parts_order_is_that_of_running() -> None:
    model, task = TINY_TASKS["two_output_regressor"]()
    other = TINY_TASKS["two_output_regressor"]()[0]
    torch.manual_seed(3)
    for name in ("body.0", "body.2", "speed"):
        other.module.get_submodule(name).reset_parameters()
    names = ("body.0", "body.2", "speed")
    done = [
        run(other, [DistillLayers(task, model, order, steps=20)]) for order in (names, names[::-1])
    ]
    for ours, theirs in zip(*(x.module.parameters() for x in done), strict=True):
        assert torch.equal(ours, theirs)


def test_room_for_what_parts_gave_changes_nothing(pruned: tuple[Model, Model, Task]) -> None:
    small, teacher, task = pruned
    done = [
        run(small, [DistillLayers(task, teacher, ("0", "1", "3"), steps=10, room_bytes=room)])
        for room in (0, 2**30)
    ]
    for ours, theirs in zip(*(x.module.parameters() for x in done), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_removed_block_is_made_up_for_by_the_part_around() -> None:
    torch.manual_seed(0)
    _, task = TINY_TASKS["image_classifier"]()
    body = nn.Sequential(Block(8), Block(8), Block(8))
    head = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 4))
    net = nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1), body, head).eval()
    teacher = learned(Model(net, (torch.randn(2, 3, 8, 8),)), task, epochs=3)
    small = run(teacher, [RemoveBlocks(("1.1",))])
    done = run(small, [DistillLayers(task, teacher, learning_rate=0.003)])
    assert agreement(done, teacher, task) < agreement(small, teacher, task) / 2
    assert torch.equal(done.module[2][2].weight, small.module[2][2].weight)


def test_arguments_of_all_kinds_reach_the_part() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block, self.head = Block(3), nn.Linear(3, 4)

        def forward(self, x: Tensor) -> Tensor:
            kept = (x > 0).float()
            return self.head(self.block(x, 0.5, mask=kept).mean((2, 3)))

    _, task = TINY_TASKS["image_classifier"]()
    torch.manual_seed(0)
    teacher = Model(Net().eval(), (torch.randn(2, 3, 8, 8),))
    small = teacher.clone()
    small.module.block.conv2.reset_parameters()
    done = run(small, [DistillLayers(task, teacher, ("block",), learning_rate=0.003)])
    assert agreement(done, teacher, task) < agreement(small, teacher, task) / 2


def test_weights_used_elsewhere_are_held() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)
            self.second.weight = self.first.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.second(self.first(x).relu())

    _, task = TINY_TASKS["two_output_regressor"]()
    teacher = Model(Tied(), (torch.randn(2, 6),))
    small = teacher.clone()
    small.module.second.bias.data.add_(1)
    done = run(small, [DistillLayers(task, teacher, ("second",), learning_rate=0.03)])
    assert torch.equal(done.module.second.weight, small.module.second.weight)
    torch.testing.assert_close(
        done.module.second.bias, teacher.module.second.bias, atol=0.05, rtol=0
    )


def test_a_part_that_gets_no_better_stays_and_says_so() -> None:
    model, task = TINY_TASKS["two_output_regressor"]()
    teacher = learned(model, task)
    done = run(teacher, [DistillLayers(task, teacher, ("body.0",), learning_rate=10.0)])
    before = teacher.module.state_dict()
    assert all(torch.equal(x, before[name]) for name, x in done.module.state_dict().items())
    (note,) = done.notes
    assert note.text.startswith("'body.0' stays as it was: its error would be ")
    assert not note.is_fallback


def test_parts_of_another_shape_are_named() -> None:
    model, task = TINY_TASKS["image_classifier"]()
    small = run(model, [PruneChannels(0.5)])
    done = run(small, [DistillLayers(task, model, samples=64, steps=2)])
    (note,) = done.notes
    assert note.text.startswith("'stem.0' and 5 more changed and are not taught: 'stem' gives [[")
    with pytest.raises(
        PassError, match=r"'stem' cannot be taught alone: .* the teacher's \[\[.*12"
    ):
        run(small, [DistillLayers(task, model, ("stem",), samples=64)])


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.again, self.never = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.again(self.again(x))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("again", "'again' cannot be taught alone: 'again' runs 2 times in the student"),
        ("never", "'never' does not run as a module of the student"),
        ("agin", "no part is called 'agin'; did you mean 'again'"),
    ],
)
def test_names_what_cannot_be_taught(name: str, message: str) -> None:
    _, task = TINY_TASKS["two_output_regressor"]()
    model = Model(Twice(), (torch.randn(2, 6),))
    with pytest.raises(PassError, match=message):
        run(model, [DistillLayers(task, model, (name,))])


def test_refuses_settings_out_of_range() -> None:
    model, task = TINY_TASKS["two_output_regressor"]()
    for name, value in (("samples", 1), ("steps", 0), ("batch", 0), ("learning_rate", 0.0)):
        with pytest.raises(ValueError, match=f"{name} must be .* got {value}"):
            DistillLayers(task, model, **{name: value})
    with pytest.raises(TypeError, match="layers must be a tuple of names, got the text 'body'"):
        DistillLayers.__post_init__(SimpleNamespace(teacher=model, layers="body"))


def test_a_recipe_says_it() -> None:
    model, task = TINY_TASKS["two_output_regressor"]()
    passes = (RecalibrateNorms(task, 64), DistillLayers(task, model, ("body.0",), steps=7))
    assert read(write(passes), task, teacher=model) == passes
