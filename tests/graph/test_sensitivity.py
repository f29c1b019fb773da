import json
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from lilliput.core import Model, progress
from lilliput.graph import sensitivity


@pytest.fixture
def model() -> Model:
    net = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
    nn.init.constant_(net[0].weight, 2.0)
    nn.init.constant_(net[1].weight, 3.0)
    return Model(net, (torch.ones(1, 1),))


@torch.no_grad()
def weaken(model: Model, name: str, level: float) -> Model:
    layer = model.module.get_submodule(name)
    layer.weight.add_(-level)
    return model


@torch.no_grad()
def score(model: Model) -> float:
    return float(model.module(*model.example_inputs).sum())


def test_each_drop_is_that_of_one_part_alone(model: Model) -> None:
    found = sensitivity(model, ["0", "1"], weaken, score, [0.5, 1.0])
    assert found.score == 6.0
    # (2 - level) * 3 and 2 * (3 - level), each against 6
    assert found.drops == {"0": {0.5: 1.5, 1.0: 3.0}, "1": {0.5: 1.0, 1.0: 2.0}}


def test_a_gain_is_a_negative_drop(model: Model) -> None:
    assert sensitivity(model, ["0"], weaken, score, [-1.0]).drops["0"][-1.0] == -3.0


def test_leaves_the_model_alone(model: Model) -> None:
    sensitivity(model, ["0", "1"], weaken, score, [1.0])
    assert score(model) == 6.0


def test_survives_json(model: Model) -> None:
    found = sensitivity(model, ["0"], weaken, score, [0.25, 1.0])
    plain = json.loads(json.dumps(found.as_dict()))
    assert plain == {"score": 6.0, "drops": {"0": {"0.25": 0.75, "1.0": 3.0}}}
    back = {name: {float(k): v for k, v in by.items()} for name, by in plain["drops"].items()}
    assert back == found.drops


def test_nothing_to_perturb_is_no_drop(model: Model) -> None:
    assert sensitivity(model, [], weaken, score, [0.5]).drops == {}
    assert sensitivity(model, ["0"], weaken, score, []).drops == {"0": {}}


def test_a_score_that_is_no_number_is_named(model: Model) -> None:
    with pytest.raises(ValueError, match="must be finite, got nan"):
        sensitivity(model, ["0"], weaken, lambda _: float("nan"), [0.5])


class Counter:
    def __init__(self) -> None:
        self.total: float | None = None
        self.steps = 0

    def start(self, description: str, total: float | None, /) -> int:
        self.total = total
        return 0

    def update(self, task: int, done: int, note: str, /) -> None:
        self.steps += 1

    def stop(self, task: int, /) -> None: ...


@pytest.fixture
def counter() -> Iterator[Counter]:
    counter = Counter()
    token = progress._active.set(counter)
    yield counter
    progress._active.reset(token)


def test_says_how_far_it_is(model: Model, counter: Counter) -> None:
    sensitivity(model, ["0", "1"], weaken, score, [0.25, 0.5, 1.0])
    assert (counter.total, counter.steps) == (6.0, 6)
