from dataclasses import replace

import torch
from torch.utils.data import DataLoader, TensorDataset

from lilliput.core import run
from lilliput.search.space import Point, Space
from lilliput.testing.nets import image_classifier


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
