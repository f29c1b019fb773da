"""The arms: who is trained how long, and that the plain network's file is no larger."""

import math

import pytest
import torch

from lilliput.core import Model, PassError, UnsupportedError, run
from lilliput.edit import FuseBatchNorm, Narrow
from lilliput.prune import PruneChannels
from lilliput.quantize import QuantizeStatic
from lilliput.search.contest.arms import arms_of, check_recipe, macs_of, narrower, same_compute
from lilliput.search.contest.lesson import Lesson
from lilliput.search.contest.width import file_bytes, widest
from lilliput.targets import get_target
from lilliput.testing.nets import TINY_TASKS, image_classifier, two_output_regressor
from lilliput.train import SGD, Cosine, Distill, FineTune, OneCycle, Training

ORT = get_target("onnxruntime-cpu")
HALF = (PruneChannels(0.5),)


def test_same_compute_is_as_many_multiplications() -> None:
    model, _ = image_classifier()
    small = run(model, HALF)
    arms = {arm.slug: arm for arm in arms_of(model, HALF, epochs=20)}
    before, after = macs_of(model), macs_of(small)
    assert arms["scratch-compute"].epochs * after == pytest.approx(20 * before, abs=after / 2)
    assert arms["scratch-epochs"].epochs == arms["pruned"].epochs == 20
    longer = {arm.slug: arm for arm in arms_of(model, HALF, epochs=20, original_epochs=100)}
    assert longer["scratch-compute"].epochs == same_compute(before, 100, after)
    assert longer["pruned"].epochs == longer["scratch-epochs"].epochs == 20


def test_one_epoch_is_the_least() -> None:
    assert same_compute(10, 1, 1000) == 1


@pytest.mark.parametrize("name", ["image_classifier"])
def test_arms_of_one_architecture_differ_in_their_parameters_alone(name: str) -> None:
    model, _ = TINY_TASKS[name]()
    pruned, scratch, _ = arms_of(model, HALF, epochs=1)
    kept, fresh, other = (
        run(model, passes).module.state_dict()
        for passes in (pruned.start(0), scratch.start(0), scratch.start(1))
    )
    shapes = {name: value.shape for name, value in kept.items()}
    assert shapes == {name: value.shape for name, value in fresh.items()}
    assert any(not torch.equal(value, fresh[name]) for name, value in kept.items())
    assert any(not torch.equal(value, other[name]) for name, value in fresh.items())


@pytest.mark.parametrize("limit", [60, 613])
def test_the_plain_network_is_the_widest_that_fits(limit: int) -> None:
    model, _ = two_output_regressor()
    asked: list[int] = []

    def count(narrow: Model) -> int:
        asked.append(parameters(narrow))
        return asked[-1]

    width = widest(model, limit, count)
    every = [Narrow(k / 256) for k in range(1, 257)]
    # two layers of 24 and 16, six inputs, heads of 2 and 1: no network is needed to count
    counts = {narrow.alpha: _counted(narrow.alpha) for narrow in every}
    assert counts[width.alpha] == max(n for n in counts.values() if n <= limit)
    assert parameters(run(model, [width])) == counts[width.alpha]
    assert len(asked) == len(set(asked)) <= 9


def _counted(alpha: float) -> int:
    first, second = (math.ceil(alpha * size) for size in (24, 16))
    return 7 * first + (first + 1) * second + 3 * (second + 1)


def parameters(model: Model) -> int:
    return sum(p.numel() for p in model.module.parameters())


def test_the_narrower_file_is_no_larger_than_the_pruned_one() -> None:
    model, _ = two_output_regressor()
    *_, scratch = arms_of(model, [PruneChannels({"body.0": 0.75})], epochs=1)
    arm = narrower(model, scratch, ORT, epochs=1)
    plain, pruned = (file_bytes(run(model, p), ORT) for p in (arm.start(0), scratch.shape))
    assert 0.8 * pruned < plain <= pruned
    assert arm.macs == macs_of(run(model, arm.shape))
    assert arm.same_as == ""


def test_one_ratio_for_all_layers_is_the_plain_network_and_not_trained_twice() -> None:
    model, _ = two_output_regressor()
    *_, scratch = arms_of(model, HALF, epochs=1)
    arm = narrower(model, scratch, ORT, epochs=1)
    assert arm.same_as == scratch.name
    drawn, narrow = (run(model, p).module.state_dict() for p in (scratch.start(3), arm.start(3)))
    assert all(torch.equal(value, narrow[name]) for name, value in drawn.items())


def test_where_no_width_fits_that_is_said() -> None:
    model, _ = two_output_regressor()
    with pytest.raises(UnsupportedError, match="has a file of at most 5 bytes"):
        widest(model, 5, parameters)


def test_a_recipe_that_removes_nothing_is_refused() -> None:
    model, _ = image_classifier()
    with pytest.raises(PassError, match=r"PruneChannels\) removes none of \d,\d+ parameters"):
        arms_of(model, [PruneChannels(0.0)], epochs=1)
    with pytest.raises(PassError, match="no pass"):
        arms_of(model, [], epochs=1)


def test_a_recipe_that_trains_or_quantizes_is_refused() -> None:
    _, task = image_classifier()
    check_recipe([FuseBatchNorm(), *HALF])
    with pytest.raises(PassError, match="FineTune trains, but compare trains every arm alike"):
        check_recipe([*HALF, FineTune(task)])
    with pytest.raises(PassError, match="QuantizeStatic gives no smaller architecture"):
        check_recipe([*HALF, QuantizeStatic(ORT.rules, task)])


def test_all_arms_learn_the_same_lesson_at_two_rates() -> None:
    model, task = image_classifier()
    training = Training(optimizer=SGD(weight_decay=0.1), clip_norm=3.0)
    lesson = Lesson(task, training, 0.01, 0.1, OneCycle(), model)
    pruned, scratch, _ = arms_of(model, HALF, epochs=4)
    tuned, fresh = pruned.training(lesson, 7), scratch.training(lesson, 7)
    assert isinstance(tuned, Distill)
    assert isinstance(fresh, Distill)
    assert (tuned.learning_rate, fresh.learning_rate) == (0.01, 0.1)
    assert (tuned.training.schedule, fresh.training.schedule) == (Cosine(), OneCycle())
    assert tuned.training.seed == fresh.training.seed == 7
    assert tuned.training.optimizer == fresh.training.optimizer == training.optimizer
    assert tuned.teacher is fresh.teacher is model
    alone = Lesson(task, training, 0.01, 0.1, OneCycle())
    assert isinstance(pruned.training(alone, 7), FineTune)
