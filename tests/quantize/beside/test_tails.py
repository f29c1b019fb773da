"""What comes after a weight, run alone, gives what the whole network gives."""

import torch
from torch import Tensor, nn

from lilliput.core import Model
from lilliput.quantize.beside.distance import SquaredError
from lilliput.quantize.beside.tails import tails
from lilliput.quantize.coded.stepped import Seen, Stepped


class Shared(nn.Module):
    """A shortcut, an embedding that is read twice, and two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.a, self.b = nn.Embedding(7, 5), nn.Linear(5, 5), nn.Linear(5, 5)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        x = self.words(tokens).mean(1)
        y = x + self.b(self.a(x).relu())
        return y, self.a(y) @ self.words.weight.T


def test_the_rest_gives_what_the_whole_network_gives() -> None:
    torch.manual_seed(0)
    tokens = torch.randint(7, (6, 3))
    stepped = Stepped(Model(Shared().eval(), (tokens,)))
    batches = [(part,) for part in tokens.split(4)]
    seen = Seen(batches, stepped.outputs(batches), SquaredError())
    stepped.set_steps({weight.name: 0.1 for weight in stepped.weights})
    found = {}
    for weight, distance_at in stepped.one_by_one(seen):
        found[weight.name] = distance_at(0.3), distance_at(0.2)
    assert set(found) == {weight.name for weight in stepped.weights}
    for weight in stepped.weights:
        for step, distance in zip((0.3, 0.2), found[weight.name], strict=True):
            with stepped.alone(weight, step):
                assert stepped.distance(seen) == distance


def test_a_weight_that_nobody_reads_is_left_out() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)).eval()
    stepped = Stepped(Model(net, (torch.randn(2, 3),)))
    batches = [(torch.randn(2, 3),)]
    names = [name for name, _ in tails(stepped.module, batches, ["1.weight", "nobody"])]
    assert names == ["1.weight"]
