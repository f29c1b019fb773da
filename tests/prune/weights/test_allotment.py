import pytest
import torch
from torch import nn

from lilliput.core import Model, run
from lilliput.prune import (
    AcrossLayers,
    BySensitivity,
    ErdosRenyiKernel,
    PerLayer,
    PruneWeights,
    Unstructured,
    WeightBlocks,
    masked,
    sparsity_of,
)
from lilliput.testing import TINY_TASKS, learned


def scores() -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    shapes = {"a": (16, 3, 3, 3), "b": (32, 16, 3, 3), "c": (10, 32)}
    return {
        n: torch.rand(s, generator=draw) * (1 + 0.2 * i) for i, (n, s) in enumerate(shapes.items())
    }


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("allotment", [PerLayer(), AcrossLayers(), ErdosRenyiKernel()])
def test_the_numbers_add_up(allotment, sparsity: float) -> None:
    given = scores()
    kept = allotment(nn.Module(), given, sparsity, Unstructured())
    sizes = {name: score.numel() for name, score in given.items()}
    assert all(1 <= kept[name] <= sizes[name] for name in sizes)
    assert abs(sum(kept.values()) - (1 - sparsity) * sum(sizes.values())) <= 3


@pytest.mark.parametrize("pattern", [Unstructured(), WeightBlocks(2, 4)])
def test_one_threshold_lies_between_what_stays_and_what_goes(pattern) -> None:
    given = scores()
    kept = AcrossLayers()(nn.Module(), given, 0.6, pattern)
    pooled = {name: pattern.pooled(score) for name, score in given.items()}
    masks = {name: pattern.keep(given[name], kept[name]) for name in given}
    lowest = min(float(pooled[n][masks[n]].min()) for n in given)
    highest = max(float(pooled[n][~masks[n]].max()) for n in given)
    assert lowest >= highest


def test_densities_are_those_of_the_formula() -> None:
    given = scores()
    kept = ErdosRenyiKernel()(nn.Module(), given, 0.9, Unstructured())
    ratios = [
        kept[n] / given[n].numel() / (sum(given[n].shape) / given[n].numel())
        for n in given
        if kept[n] < given[n].numel()
    ]
    assert len(ratios) >= 2
    assert max(ratios) == pytest.approx(min(ratios), rel=0.05)


def test_small_layers_stay_dense_where_the_formula_would_give_them_more_than_all() -> None:
    given = {"small": torch.rand(4, 2), "large": torch.rand(200, 100)}
    kept = ErdosRenyiKernel()(nn.Module(), given, 0.5, Unstructured())
    assert kept == {"small": 8, "large": round(0.5 * 20008) - 8}


def test_a_layer_that_matters_by_measurement_keeps_more() -> None:
    model, task = TINY_TASKS["two_output_regressor"]()
    model = learned(model, task)
    with torch.no_grad():  # a layer that adds nothing, though its weights are large
        model.module.body = nn.Sequential(*model.module.body, Idle(16))
    done = run(model, [PruneWeights(0.5, allotment=BySensitivity(task))])
    shares = {name: float(mask.float().mean()) for name, mask in masked(done.module).items()}
    assert shares["body.4.layer"] == min(shares.values())
    assert sparsity_of(done.module) == pytest.approx(0.5, abs=0.01)
    other = run(model, [PruneWeights(0.5, allotment=AcrossLayers())])
    assert loss(done, task) < loss(other, task)


class Idle(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(width, width)
        nn.init.normal_(self.layer.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1e-6 * self.layer(x)


@torch.no_grad()
def loss(model: Model, task) -> float:
    return sum(float(task.loss(model.module(*x), y)) for x, y in task.batches("validation"))


@pytest.mark.parametrize("levels", [(), (1.0,), (0.5, -1)])
def test_refuses_levels_out_of_range(levels) -> None:
    _, task = TINY_TASKS["two_output_regressor"]()
    with pytest.raises(ValueError, match="levels must"):
        BySensitivity(task, levels)
