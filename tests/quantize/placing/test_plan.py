from typing import Any

import pytest
import torch
from torch import fx

from lilliput.quantize.placing.plan import keeps_values

POOL = torch.ops.aten.avg_pool2d.default


@pytest.mark.parametrize(
    ("arguments", "named", "keeps"),
    [
        (([2, 2],), {}, True),
        (([3, 3], [2, 2], [1, 1]), {}, True),
        (([3, 3], [2, 2], [1, 1], False, False), {}, False),
        (([3, 3], [2, 2], [0, 0], False, False), {}, True),
        (([3, 3], [2, 2], [0, 0], True), {}, False),
        (([2, 2],), {"divisor_override": 3}, False),
    ],
)
def test_a_mean_of_windows_keeps_the_scale_where_each_counts_all_of_it(
    arguments: tuple[Any, ...], named: dict[str, Any], keeps: bool
) -> None:
    graph = fx.Graph()
    node = graph.call_function(POOL, (graph.placeholder("x"), *arguments), named)
    assert keeps_values(node, "avg_pool2d") is keeps
