import pytest
import torch
from torch import Tensor, nn

from lilliput.train import Training
from lilliput.train.teacher import Teacher


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.linear(x)


def teacher(cache_bytes: int = 10**6, patience: int = 4) -> Teacher:
    plain = Training(precision="32-true")
    return Teacher(Counting(), [], plain, cache_bytes=cache_bytes, patience=patience)


BATCHES = [(torch.randn(5, 3),) for _ in range(4)]


def test_answers_what_the_network_answers_however_batches_are_ordered() -> None:
    asked = teacher()
    for batch in [*BATCHES, *reversed(BATCHES)]:
        assert torch.equal(asked(batch)[0], asked.module.linear(batch[0]))
    assert asked.module.calls == 4


def test_gives_up_remembering_when_no_batch_comes_again() -> None:
    asked = teacher(patience=4)
    for _ in range(5):
        asked((torch.randn(5, 3),))
    assert not asked.answers
    for batch in BATCHES * 2:
        asked(batch)
    assert not asked.answers
    assert asked.module.calls == 13


@pytest.mark.parametrize(("cache_bytes", "calls"), [(0, 8), (2 * 5 * 2 * 4, 6), (10**6, 4)])
def test_keeps_no_more_than_it_may(cache_bytes: int, calls: int) -> None:
    asked = teacher(cache_bytes)
    for batch in BATCHES * 2:
        asked(batch)
    assert asked.module.calls == calls


def test_an_order_within_the_batch_makes_another_batch() -> None:
    asked = teacher()
    batch = BATCHES[0][0]
    asked((batch,))
    flipped = asked((batch.flip(0),))[0]
    assert torch.equal(flipped, asked.module.linear(batch.flip(0)))


def test_is_a_frozen_copy_in_eval_mode() -> None:
    network = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.9)).train()
    asked = Teacher(network, ["0"], Training(), cache_bytes=0, patience=1)
    outputs, (features,) = asked(BATCHES[0])
    assert torch.equal(outputs, features.float())
    assert not outputs.requires_grad
    assert network.training
    assert network[0].weight.requires_grad
