import itertools

import pytest
import torch

from lilliput.prune import NOfM, Unstructured, WeightBlocks

SHAPES = [(6, 8), (6, 8, 3), (6, 8, 3, 3)]


def scores_of(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", SHAPES)
def test_unstructured_keeps_the_highest(shape) -> None:
    scores = scores_of(*shape)
    for number in (0, 1, 7, scores.numel()):
        keep = Unstructured().keep(scores, number)
        assert set(scores[keep].tolist()) == set(
            scores.flatten().sort().values[-number or 10**9 :].tolist()
        )


def test_equal_scores_make_no_difference_to_the_number() -> None:
    scores = torch.tensor([1.0, 2, 2, 2, 2, 3]).view(2, 3)
    assert [int(Unstructured().keep(scores, n).sum()) for n in range(7)] == list(range(7))


@pytest.mark.parametrize("pattern", [NOfM(2, 4), NOfM(1, 4), NOfM(4, 8)])
@pytest.mark.parametrize("shape", SHAPES)
def test_of_every_few_input_channels_the_best_subset_stays(pattern: NOfM, shape) -> None:
    scores = scores_of(*shape)
    keep = pattern.keep(scores, 0)
    groups = (
        scores.movedim(1, -1).reshape(-1, pattern.of),
        keep.movedim(1, -1).reshape(-1, pattern.of),
    )
    for values, kept in zip(*groups, strict=True):
        subsets = itertools.combinations(range(pattern.of), pattern.kept)
        best = max(subsets, key=lambda s: float(values[list(s)].sum()))
        assert tuple(kept.nonzero()[:, 0].tolist()) == best


def test_on_the_way_to_a_pattern_the_largest_of_the_others_stay() -> None:
    scores = scores_of(6, 8)
    strict, more = NOfM(2, 4).keep(scores, 0), NOfM(2, 4).keep(scores, 30)
    assert int(more.sum()) == 30
    assert bool((more | ~strict).all())
    assert float(scores[more & ~strict].min()) >= float(scores[~more].max())


@pytest.mark.parametrize(
    "pattern", [WeightBlocks(1, 4), WeightBlocks(4, 1), WeightBlocks(8, 8), WeightBlocks(3, 5)]
)
@pytest.mark.parametrize("shape", SHAPES)
def test_blocks_go_as_a_whole_and_the_highest_means_stay(pattern: WeightBlocks, shape) -> None:
    scores = scores_of(*shape)
    keep = pattern.keep(scores, scores.numel() // 2)
    means: dict[bool, list[float]] = {True: [], False: []}
    matrices = zip(
        scores.reshape(*shape[:2], -1).unbind(2),
        keep.reshape(*shape[:2], -1).unbind(2),
        strict=True,
    )
    for values, kept in matrices:
        for i in range(0, shape[0], pattern.rows):
            for j in range(0, shape[1], pattern.columns):
                block = slice(i, i + pattern.rows), slice(j, j + pattern.columns)
                assert len(kept[block].unique()) == 1
                means[bool(kept[block].all())].append(float(values[block].mean()))
                pooled = pattern.pooled(scores).reshape(*shape[:2], -1)
                assert pooled.shape[:2] == values.shape
    assert means[True]
    assert min(means[True]) >= max(means[False], default=0.0)


def test_blocks_pool_to_their_means() -> None:
    scores = scores_of(5, 6)
    pooled = WeightBlocks(2, 4).pooled(scores)
    assert pooled[4, 5] == pytest.approx(float(scores[4:, 4:].mean()))
    assert pooled[0, 3] == pytest.approx(float(scores[:2, :4].mean()))


@pytest.mark.parametrize(
    "make", [lambda: NOfM(4, 4), lambda: NOfM(0, 4), lambda: WeightBlocks(0, 1)]
)
def test_refuses_what_is_no_pattern(make) -> None:
    with pytest.raises(ValueError, match="must be"):
        make()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_keeps_as_many_in_every_type(dtype: torch.dtype) -> None:
    scores = scores_of(6, 8).to(dtype)
    assert [int(Unstructured().keep(scores, n).sum()) for n in (0, 1, 20, 48)] == [0, 1, 20, 48]
