from itertools import count

from lilliput.search.space import Point
from lilliput.search.study import explore


def tried(seed: int, trials: int = 12) -> list[Point]:
    """Points chosen for a toy in which fewer MACs cost accuracy and longer training brings some."""
    points: list[Point] = []
    numbers = count()

    def evaluate(point: Point) -> tuple[float, float] | None:
        points.append(point)
        if point.blocks == 3:
            return None
        return 1 - point.share - 0.01 * point.epochs, point.share

    explore(
        evaluate,
        seeds=[(Point(), (0.0, 1.0)), (Point(share=0.5, epochs=2), (0.48, 0.5))],
        proceed=lambda: next(numbers) < trials,
        max_blocks=3,
        max_epochs=8,
        observer="mse",
        seed=seed,
    )
    return points


def test_asks_until_told_to_stop() -> None:
    assert len(tried(0)) == 12


def test_the_same_seed_chooses_the_same_points() -> None:
    assert tried(1) == tried(1)
    assert tried(1) != tried(2)


def test_stays_inside_the_space() -> None:
    for point in tried(3):
        assert point.observer == "mse"
        assert 0.2 <= point.share <= 1
        assert 0 <= point.blocks <= 3
        assert 1 <= point.epochs <= 8
        assert 0 <= point.aware_epochs <= 2
