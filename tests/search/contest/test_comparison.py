import pytest
from tests.report.comparisons import made_up

from lilliput.search.contest.comparison import LeftOut


def test_gives_the_row_of_an_arm() -> None:
    assert made_up()["narrower"].arm == "narrower"


def test_an_arm_that_is_not_there_is_answered_with_those_that_are() -> None:
    found = made_up()
    with pytest.raises(KeyError, match="no arm is called 'narrow'; there are 'pruned', 'scratch"):
        found["narrow"]
    rows = tuple(row for row in found.rows if row.arm != "narrower")
    left = (LeftOut("narrower", None, "no width fits"),)
    with pytest.raises(
        KeyError, match="'narrower' was left out: no width fits; there are 'pruned'"
    ):
        made_up(rows=rows, left_out=left)["narrower"]
