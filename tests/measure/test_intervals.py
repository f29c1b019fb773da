import numpy as np
import pytest

from lilliput.measure import intervals

# 97.5 % quantiles of Student's t: Fisher and Yates 1963, table III
T = {1: 12.706, 2: 4.303, 3: 3.182, 5: 2.571, 9: 2.262, 20: 2.086, 49: 2.010, 1000: 1.962}


@pytest.mark.parametrize("freedom", sorted(T))
def test_students_t_is_as_in_the_table(freedom):
    assert intervals.student_t(freedom) == pytest.approx(T[freedom], rel=0.01)


def test_wilson_ends_solve_the_score_equation():
    for successes, trials in [(0, 20), (3, 64), (450, 500), (64, 64)]:
        found = intervals.wilson(successes, trials)
        for end in (found.low, found.high):
            if 0 < end < 1:
                z = (successes / trials - end) / np.sqrt(end * (1 - end) / trials)
                assert abs(z) == pytest.approx(1.96, abs=1e-3)
        assert found.low <= successes / trials <= found.high


def test_the_interval_of_a_mean_agrees_with_a_bootstrap():
    values = np.random.default_rng(0).gamma(2.0, size=300)
    draw = np.random.default_rng(1)
    means = draw.choice(values, (4000, 300)).mean(1)
    low, high = np.quantile(means, (0.025, 0.975))
    found = intervals.mean(values)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.03)


def covered(make, truth, interval, runs=600):
    found = [interval(*make(np.random.default_rng(seed))) for seed in range(runs)]
    return np.mean([i.low <= truth <= i.high for i in found])


def two_classifiers(draw, n=300):
    """92 % and 90 % right, mostly on the same examples."""
    u, flipped = draw.random(n), draw.random(n) < 0.05
    first = u < 0.92
    second = np.where(flipped, draw.random(n) < 0.52, first)
    return first.astype(np.float64), second.astype(np.float64)


def test_paired_intervals_of_shares_cover_the_true_difference_95_times_of_100():
    truth = 0.05 * (0.92 - 0.52)
    assert covered(two_classifiers, truth, intervals.paired) == pytest.approx(0.955, abs=0.025)


def test_paired_intervals_of_errors_cover_the_true_difference_95_times_of_100():
    def two_regressors(draw):
        common = draw.normal(size=80)
        return common + 0.3 + 0.5 * draw.normal(size=80), common

    assert covered(two_regressors, 0.3, intervals.paired) == pytest.approx(0.95, abs=0.03)


def test_jackknife_intervals_of_a_ratio_cover_the_truth_95_times_of_100():
    def ratio_without_groups(draw):
        x, y = draw.gamma(4.0, size=500), draw.gamma(2.0, size=500)
        groups = np.arange(500) % 50
        rest = [y[groups != g].sum() / x[groups != g].sum() for g in range(50)]
        return float(y.sum() / x.sum()), np.array(rest)

    assert covered(ratio_without_groups, 0.5, intervals.jackknife) == pytest.approx(0.95, abs=0.03)


def test_the_jackknife_of_a_mean_is_students_interval():
    values = np.random.default_rng(0).normal(size=40)
    rest = np.array([np.delete(values, i).mean() for i in range(40)])
    found, wanted = intervals.jackknife(float(values.mean()), rest), intervals.mean(values)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high))


def test_no_changed_example_still_leaves_doubt_about_a_share_that_shrinks_with_more_examples():
    few, many = np.ones(50), np.ones(5000)
    short, long = intervals.paired(few, few), intervals.paired(many, many)
    assert short.low < long.low < 0 < long.high < short.high


def test_equal_errors_leave_no_doubt():
    errors = np.array([0.5, 1.5, 2.0])
    assert intervals.paired(errors, errors) == intervals.Interval(0.0, 0.0)


def test_one_example_has_no_interval():
    assert intervals.mean(np.array([2.5])) is None
    assert intervals.jackknife(1.0, np.array([1.0])) is None


def test_welch_is_students_interval_where_spreads_are_equal():
    # pooled: difference 1, error sqrt(2 * 1 / 3), 4 degrees of freedom
    ours, theirs = np.array([2.0, 3.0, 4.0]), np.array([1.0, 2.0, 3.0])
    found = intervals.welch(ours, theirs)
    half = intervals.student_t(4) * np.sqrt(2 / 3)
    assert (found.low, found.high) == pytest.approx((1 - half, 1 + half))


def test_welch_intervals_cover_the_true_difference_95_times_of_100():
    def unequal(draw):
        return draw.normal(1.0, 3.0, size=4), draw.normal(0.0, 1.0, size=6)

    # degrees of freedom are rounded down, so somewhat more
    assert covered(unequal, 1.0, intervals.welch, 1500) == pytest.approx(0.96, abs=0.02)


def test_a_set_that_never_varies_leaves_the_other_to_say_how_far_chance_goes():
    varied = np.array([1.0, 2.0, 3.0])
    found = intervals.welch(np.array([5.0, 5.0, 5.0]), varied)
    alone = intervals.runs(varied)
    assert found.high - found.low == pytest.approx(alone.high - alone.low)
    assert intervals.welch(np.ones(3), np.zeros(3)) is None


def test_runs_that_all_score_one_are_no_shares():
    assert intervals.runs(np.array([1.0, 1.0])) == intervals.Interval(1.0, 1.0)
    assert intervals.runs(np.array([1.0])) is None
