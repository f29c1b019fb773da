"""Equal advice on many layers is one line."""

import torch
from tests.graph.structures import ResNet

from lilliput.cli.reshapings import is_reshaping, reshaping_lines
from lilliput.core import Model
from lilliput.graph import Advice, advice, trace


def test_a_deep_network_gets_few_lines() -> None:
    model = Model(ResNet(9).eval(), (torch.randn(2, 3, 32, 32),))
    found = advice(trace(model))
    assert sum(map(is_reshaping, found)) > 50
    lines = reshaping_lines(found)
    assert len(lines) <= 13
    start = "remove 8 from layer3.1 to layer3.8, each: block may go, it keeps its input's shape: "
    assert lines[0].startswith(start)


def test_what_saves_most_comes_first_and_the_rest_is_counted() -> None:
    found = [Advice(f"{k}", "shrink", 10 * k, k, f"kernel {k}") for k in range(1, 16)]
    lines = reshaping_lines([*found, Advice("15b", "shrink", 150, 15, "kernel 15")])
    assert lines[0] == "shrink 15 and 15b, each: kernel 15"
    assert lines[1] == "shrink 14: kernel 14"
    assert len(lines) == 13
    assert lines[-1] == "and 3 more that save less; --json has all"


def test_other_advice_is_told_elsewhere() -> None:
    assert (
        reshaping_lines([Advice("a", "quantize", 1, 1, "int8"), Advice("b", "keep", 0, 0, "")])
        == []
    )
