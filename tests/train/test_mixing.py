import pytest
import torch
from tests.train.recorder import Recorder

from lilliput.core import Model, PassError, Task, TaskError, run
from lilliput.recipe import read, write
from lilliput.testing import TINY_TASKS, learned
from lilliput.train import CutMix, Distill


def numbered(count: int = 8, height: int = 12, width: int = 20) -> torch.Tensor:
    """Pictures of one value each: its place in the batch."""
    return torch.arange(count).float().view(-1, 1, 1, 1).expand(count, 3, height, width).clone()


@pytest.mark.parametrize("seed", range(20))
def test_puts_one_rectangle_of_one_other_picture_into_each(seed: int) -> None:
    torch.manual_seed(seed)
    before = numbered()
    (after,) = CutMix()((before,))
    changed = (after != before)[:, 0]
    strange = changed.any(0)
    rows, columns = strange.any(1), strange.any(0)
    assert torch.equal(strange, rows[:, None] & columns[None, :])
    for side in (rows, columns):
        inside = side.nonzero().flatten()
        assert len(inside) == 0 or len(inside) == inside[-1] - inside[0] + 1
    if strange.any():
        values = after[:, :, strange]
        assert torch.equal(values, values[:, :1, :1].expand_as(values))
        assert sorted(values[:, 0, 0].tolist()) == before[:, 0, 0, 0].tolist()
    assert torch.equal(before, numbered())


@pytest.mark.parametrize(
    ("row", "column", "rows", "columns"),
    [(0.5, 0.5, (3, 9), (5, 15)), (0.0, 0.0, (0, 3), (0, 5)), (0.75, 1.0, (6, 12), (15, 20))],
)
def test_a_quarter_of_the_area_lies_around_its_middle(
    monkeypatch, row: float, column: float, rows: tuple[int, int], columns: tuple[int, int]
) -> None:
    monkeypatch.setattr(torch, "rand", lambda _: torch.tensor([0.0, 0.25, row, column]))
    monkeypatch.setattr(torch, "randperm", lambda _: torch.tensor([1, 0]))
    (after,) = CutMix()((numbered(2),))
    wanted = numbered(2)
    wanted[:, :, slice(*rows), slice(*columns)] = wanted[[1, 0], :, slice(*rows), slice(*columns)]
    assert torch.equal(after, wanted)


def test_the_share_of_the_area_is_uniform() -> None:
    """The mean of what is covered, against its integral over areas and middles."""
    torch.manual_seed(0)
    grid = (torch.arange(1000) + 0.5) / 1000
    sides, middles = grid.sqrt(), grid[:, None]
    reach = (middles + sides / 2).clamp(max=1) - (middles - sides / 2).clamp(min=0)
    expected = reach.mean(0).square().mean() / 2  # of two pictures, half are their own partners
    batch = numbered(2, 64, 64)
    covered = torch.stack([CutMix()((batch,))[0][0].mean() for _ in range(4000)])
    assert abs(covered.mean() - expected) < 3 * covered.std() / 4000**0.5


def test_mixes_only_a_share_of_the_batches() -> None:
    torch.manual_seed(0)
    kept = sum(CutMix(0.25)((x := numbered(),))[0] is x for _ in range(1000))
    assert 700 < kept < 800


def test_refuses_what_is_no_picture_and_a_share_out_of_range() -> None:
    with pytest.raises(TaskError, match=r"got \(4, 7\), \(4, 2\); train without mixing"):
        CutMix()((torch.zeros(4, 7), torch.zeros(4, 2)))
    with pytest.raises(ValueError, match="share must be above 0 and at most 1, got 0"):
        CutMix(0.0)


@pytest.fixture
def classifier() -> tuple[Model, Task, Model]:
    model, task = TINY_TASKS["image_classifier"]()
    return model, task, learned(model, task)


def test_teaches_with_mixtures_that_labels_do_not_fit(classifier) -> None:
    model, task, teacher = classifier
    seen = []

    class Spy:
        def __call__(self, inputs):
            seen.append(inputs[0])
            return CutMix()(inputs)

    pass_ = Distill(task, teacher, 5, 0.02, alpha=1.0, mixing=Spy())
    done = run(model, [pass_])
    assert len(seen) == 5 * len(task.train)
    (inputs,), _ = next(task.batches("train"))
    wanted = teacher.module(inputs).softmax(1)
    before, after = ((m.module(inputs).softmax(1) - wanted).abs().sum() for m in (model, done))
    assert after < before
    with pytest.raises(ValueError, match=r"pass alpha=1 with mixing, got 0\.9"):
        Distill(task, teacher, mixing=CutMix())


def test_a_killed_training_goes_on_with_the_same_mixtures(
    classifier, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr("lilliput.train.watch._SAVE_EVERY_S", 0.0)
    model, task, teacher = classifier

    def taught(hook: Recorder, folder=None) -> Distill:
        return Distill(
            task, teacher, 4, 0.02, alpha=1.0, mixing=CutMix(), hooks=(hook,), checkpoint=folder
        )

    whole = run(model, [taught(Recorder())])
    with pytest.raises(PassError, match="died"):
        run(model, [taught(Recorder(fails_at=5), tmp_path)])
    rest = Recorder()
    resumed = run(model, [taught(rest, tmp_path)])
    assert 0 < rest.steps[0] <= 5
    pairs = zip(whole.module.parameters(), resumed.module.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_is_a_setting_of_recipes(classifier) -> None:
    _, task, teacher = classifier
    pass_ = Distill(task, teacher, alpha=1.0, mixing=CutMix(0.5))
    assert read(write([pass_]), task, teacher=teacher) == (pass_,)
