import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from lilliput.core import Accuracy, Model, PassError, Task, run
from lilliput.prune import RemoveSimilarBlocks, block_similarity, removable_blocks
from lilliput.testing import PassContract


class Residual(nn.Module):
    """Adds more or less to what it reads."""

    def __init__(self, size: float) -> None:
        super().__init__()
        self.mix, self.size = nn.Linear(6, 6), size

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return x + self.size * self.mix(x) * mask[..., None]


class Tower(nn.Module):
    def __init__(self, sizes: tuple[float, ...] = (1.0, 0.01, 3.0, 0.1)) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(3, 6), nn.Linear(6, 2)
        self.blocks = nn.ModuleList(Residual(size) for size in sizes)

    def forward(self, x: Tensor) -> Tensor:
        mask = (x[..., 0] < 1).to(x.dtype)
        x = self.first(x)
        for block in self.blocks:
            x = block(x, mask)
        return self.last(x.mean(1))


def tower() -> Model:
    torch.manual_seed(0)
    return Model(Tower().eval(), (torch.randn(2, 5, 3),))


def examples() -> Task:
    draw = torch.Generator().manual_seed(0)
    x, labels = torch.randn(24, 5, 3, generator=draw), torch.randint(2, (24,), generator=draw)
    batches = list(zip(x.split(8), labels.split(8), strict=True))
    return Task("tower", batches, batches, functional.cross_entropy, Accuracy())


class TestRemoveSimilarBlocks(PassContract):
    tasks = ("tower",)

    @pytest.fixture
    def task(self, tiny: str) -> Task:
        return examples()

    @pytest.fixture
    def model(self, tiny: str) -> Model:
        return tower()

    @pytest.fixture
    def pass_(self, task: Task) -> RemoveSimilarBlocks:
        return RemoveSimilarBlocks(task, 2, samples=16)


@torch.no_grad()
def test_is_the_mean_cosine_of_tokens() -> None:
    model, task = tower(), examples()
    found = block_similarity(model, task, samples=20)
    assert tuple(found) == removable_blocks(model) == tuple(f"blocks.{k}" for k in range(4))
    x = torch.cat([inputs for inputs, _ in task.train])[:20]
    mask = (x[..., 0] < 1).float()
    before = model.module.first(x)
    for k, block in enumerate(model.module.blocks):
        after = block(before, mask)
        cosines = [
            torch.dot(a, b) / (a.norm() * b.norm())
            for a, b in zip(before.flatten(0, 1), after.flatten(0, 1), strict=True)
        ]
        expected = float(torch.stack(cosines).mean())
        assert found[f"blocks.{k}"] == pytest.approx(expected, abs=1e-5)
        before = after


def test_channels_of_a_pixel_are_compared_and_dead_pixels_do_not_count() -> None:
    block = nn.Sequential(nn.Conv2d(2, 2, 1, bias=False), nn.ReLU(inplace=True))
    block[0].weight.data = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).view(2, 2, 1, 1)
    x = torch.zeros(1, 2, 2, 2)
    x[0, :, 0, 0] = torch.tensor([3.0, 4.0])
    task = Task("t", [(x, None)], [(x, None)], lambda y, _: y.sum(), Accuracy())
    found = block_similarity(Model(nn.Sequential(block), (x,)), task)
    assert found == {"0": pytest.approx(24 / 25)}


def test_what_changes_least_goes_first() -> None:
    model = tower()
    small = run(model, [RemoveSimilarBlocks(examples(), 2)])
    x = torch.randn(4, 5, 3)
    mask = (x[..., 0] < 1).float()
    net = model.module
    expected = net.last(net.blocks[2](net.blocks[0](net.first(x), mask), mask).mean(1))
    torch.testing.assert_close(small.module(x), expected)


def test_measures_again_after_each() -> None:
    """One by one is what it does, so two at once are one and one."""
    task = examples()
    at_once = run(tower(), [RemoveSimilarBlocks(task, 2)])
    in_turn = run(tower(), [RemoveSimilarBlocks(task), RemoveSimilarBlocks(task)])
    x = torch.randn(4, 5, 3)
    assert torch.equal(at_once.module(x), in_turn.module(x))


def test_refuses_more_blocks_than_there_are() -> None:
    with pytest.raises(PassError, match=r"count must be at most 4.*got 5"):
        run(tower(), [RemoveSimilarBlocks(examples(), 5)])
    with pytest.raises(ValueError, match="count must be 1 or more, got 0"):
        RemoveSimilarBlocks(examples(), 0)
    flat = Model(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)), (torch.randn(2, 3),))
    with pytest.raises(PassError, match="no block of this network can go"):
        run(flat, [RemoveSimilarBlocks(examples())])
