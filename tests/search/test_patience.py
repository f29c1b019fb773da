from lilliput.search.patience import Patience
from lilliput.search.plan import Clock


class Run:
    """A search whose front and time a test moves."""

    def __init__(self, trials: int | None = None, limit_s: float = 1e6) -> None:
        self.front, self.made, self.lines = frozenset({"a"}), 0, []
        self.patience = Patience(
            lambda: self.front, lambda: self.made, Clock(limit_s), self.lines.append, 60.0, trials
        )

    def trials_until_end(self, is_made: bool, most: int = 1000) -> int:
        for count in range(most):
            if not self.patience.proceed():
                return count
            self.made += is_made
        return most


def test_ends_after_eight_trials_that_were_no_better() -> None:
    run = Run()
    assert run.trials_until_end(is_made=True) == 8
    assert run.lines == ["the front has not moved for 8 trials"]


def test_is_more_patient_with_what_was_left_out() -> None:
    assert Run().trials_until_end(is_made=False) == 64


def test_begins_again_when_the_front_moves() -> None:
    run = Run()
    for index in range(30):
        assert run.patience.proceed()
        run.made += 1
        if index % 5 == 0:
            run.front = frozenset({str(index)})


def test_ends_where_the_time_buys_no_training() -> None:
    run = Run(limit_s=59)
    assert run.trials_until_end(is_made=True) == 0
    assert "buys no epoch" in run.lines[0]


def test_ends_after_the_trials_asked_for() -> None:
    assert Run(trials=3).trials_until_end(is_made=True) == 3
