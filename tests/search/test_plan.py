import time

import pytest

from lilliput.search.plan import Clock, epoch_seconds
from lilliput.testing.nets import image_classifier
from lilliput.train import FineTune


def test_the_clock_goes_on_from_what_earlier_starts_spent() -> None:
    clock = Clock(limit_s=10, spent_s=7)
    assert clock.left_s() == pytest.approx(3, abs=0.5)
    assert clock.used_s() == pytest.approx(7, abs=0.5)


@pytest.mark.parametrize("limit_s", [0, -1.0, float("nan")])
def test_refuses_a_budget_of_no_time(limit_s: float) -> None:
    with pytest.raises(ValueError, match="must be more than 0 seconds"):
        Clock(limit_s)


def test_an_epoch_is_estimated_from_its_steps() -> None:
    model, task = image_classifier()

    def slow_loss(outputs, labels):
        time.sleep(0.02)
        return task.loss(outputs, labels)

    import dataclasses

    slow = dataclasses.replace(task, loss=slow_loss)
    batches = sum(1 for _ in task.train)
    assert epoch_seconds(model, slow, FineTune(slow)) > 0.015 * batches
