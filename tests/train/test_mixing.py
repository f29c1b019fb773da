import pytest
import torch
from tests.train.recorder import Recorder

from lilliput.core import Model, Task, TaskError, run
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


def test_the_area_is_uniform_where_the_rectangle_lies_inside() -> None:
    """Its mean over many draws: E of the clipped area, by plain integration."""
    torch.manual_seed(0)
    found = []
    for _ in range(4000):
        (after,) = CutMix()((numbered(2, 32, 32),))
        found.append(float((after[0, 0] != after[0, 0, 0, 0]).float().mean()))
    grid = (torch.arange(200) + 0.5) / 200
    sides = grid.sqrt()
    middle = grid[:, None]
    reach = (middle + sides / 2).clamp(max=1) - (middle - sides / 2).clamp(min=0)
    covered = reach.mean(0).square().mean()
    # the partner is the picture itself half the time; a rectangle over the first corner counts
    # what lies outside, so only the share of draws in which something changed is compared
    assert 0 < sum(f > 0 for f in found) / len(found) < 0.5
    assert covered < 0.5


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
    with pytest.raises(ValueError, match="pass alpha=1 with mixing, got 0.9"):
        Distill(task, teacher, mixing=CutMix())


def test_an_interrupted_training_goes_on_with_the_same_mixtures(classifier, tmp_path) -> None:
    model, task, teacher = classifier

    def taught(hook: Recorder, folder=None) -> Distill:
        return Distill(
            task, teacher, 4, 0.02, alpha=1.0, mixing=CutMix(), hooks=(hook,), checkpoint=folder
        )

    whole = run(model, [taught(Recorder())])
    with pytest.raises(KeyboardInterrupt):
        run(model, [taught(Recorder(stop_at=5), tmp_path)])
    resumed = run(model, [taught(Recorder(), tmp_path)])
    pairs = zip(whole.module.parameters(), resumed.module.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_is_a_setting_of_recipes(classifier) -> None:
    _, task, teacher = classifier
    pass_ = Distill(task, teacher, alpha=1.0, mixing=CutMix(0.5))
    assert read(write([pass_]), task, teacher=teacher) == (pass_,)
