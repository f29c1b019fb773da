from dataclasses import replace

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lilliput.core import Model, run
from lilliput.prune import PruneChannels
from lilliput.search.space import Point, Space
from lilliput.search.survey import Survey
from lilliput.testing.nets import image_classifier
from lilliput.train import Distill, DistillLayers


def test_the_seed_reaches_the_training() -> None:
    model, task = image_classifier()
    batches = list(task.batches("train"))
    data = TensorDataset(
        torch.cat([inputs[0] for inputs, _ in batches]), torch.cat([y for _, y in batches])
    )
    shuffled = replace(task, train=DataLoader(data, batch_size=16, shuffle=True))

    def trained(seed: int) -> torch.Tensor:
        space = Space(model, shuffled, model, is_classifier=True, seed=seed)
        module = run(model, [space.distill(1)]).module
        return torch.cat([p.detach().flatten() for p in module.parameters()])

    assert torch.equal(trained(1), trained(1))
    assert not torch.equal(trained(1), trained(2))


def test_names_say_what_is_in_a_recipe() -> None:
    model, task = image_classifier()
    space = Space(model, task, model, is_classifier=True)
    assert space.candidate(Point()).name == "int8-minmax"
    four = Point(observer="mse", bits=4, is_rounded=True)
    assert space.candidate(four).name == "w4a8-mse-rounded"
    aware = Point(observer="mse", aware_epochs=2)
    assert space.candidate(aware).name == "int8-mse-qat2"
    assert replace(space, is_float=True).candidate(Point()).name == "float"
    long = Point(0.5, 2, 0.7, epochs=3)
    assert space.name(long) == "blocks-2-macs50-rank70-distil3-int8-minmax"


class Residual(nn.Module):
    """Two blocks whose inner channels may go while their outputs keep their shapes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.blocks = nn.Sequential(Block(), Block())
        self.head = nn.Linear(8, 4)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.head(self.blocks(self.stem(image)).mean((2, 3)))  # type: ignore[no-any-return]


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Conv2d(8, 16, 3, padding=1), nn.Conv2d(16, 8, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.outer(self.inner(x).relu())  # type: ignore[no-any-return]


def test_blocks_are_taught_alone_for_an_epochs_worth_before_the_whole() -> None:
    _, task = image_classifier()
    model = Model(Residual().eval(), (torch.randn(1, 3, 8, 8),))
    level = {"0.5": 0.1}
    facts = Survey(1.0, 100.0, 4, {f"blocks.{i}.inner": level for i in range(2)}, {})
    space = Space(model, task, model, is_classifier=True, seed=3)
    point = Point(share=0.6, epochs=3)
    *_, alone, whole = space.informed(facts).candidate(point).shared
    assert isinstance(alone, DistillLayers)
    assert isinstance(whole, Distill)
    examples = sum(len(y) for _, y in task.batches("train"))
    assert examples <= alone.steps * alone.batch < examples + alone.batch
    assert alone.samples == examples
    assert (alone.seed, whole.epochs) == (3, 2)
    (*_, once) = space.informed(facts).candidate(replace(point, epochs=1)).shared
    assert isinstance(once, Distill)
    assert once.epochs == 1
    other = replace(space, teacher=image_classifier()[0])  # has not the blocks
    stem = replace(facts, sensitivity={"stem": level})  # changes what goes from block to block
    for plain in (
        other.informed(facts).candidate(point),
        space.informed(stem).candidate(point),
    ):
        assert isinstance(plain.shared[0], PruneChannels)
        assert not any(isinstance(pass_, DistillLayers) for pass_ in plain.shared)
    taught = run(model, space.informed(facts).candidate(point).shared)
    assert any("DistillLayers" in step.name for step in taught.history)
    assert torch.isfinite(taught.module(*model.example_inputs)).all()
