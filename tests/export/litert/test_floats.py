from collections.abc import Callable

import pytest
import torch
from tests.export.litert.nets import Between, TwoReaders, images, int8, keyword
from torch import Tensor, fx, nn

from lilliput.core import Model
from lilliput.export.integers import Integers
from lilliput.export.litert.converter import fence
from lilliput.export.litert.floats import keep_floats
from lilliput.export.lower import lower
from lilliput.graph import operator_of
from lilliput.targets import get_target

RULES = get_target("litert-cpu").rules
assert RULES is not None


def fences(model: Model) -> list[tuple[str, list[str]]]:
    """What each fence stands behind, and the operators that read it."""
    assert isinstance(model.module, fx.GraphModule)
    found = []
    for node in model.module.graph.nodes:
        if node.target is fence():
            (tensor,) = node.users
            before = node.args[0][0]
            readers = [operator_of(user) or str(user.target) for user in tensor.users]
            found.append((operator_of(before) or str(before.target), sorted(readers)))
    return found


def test_a_network_all_in_integers_has_no_fence() -> None:
    assert not fences(keep_floats(keyword(), RULES))


def test_floats_are_fenced_where_they_begin_and_where_they_end() -> None:
    model = int8(TwoReaders(), images())
    assert fences(keep_floats(model, RULES)) == [
        ("stem_out_quantizer", ["tanh"]),
        ("tanh", ["tanh_quantizer"]),
        ("avg_pool2d", ["avg_pool2d_quantizer"]),
    ]
    assert not fences(model)


def test_what_reads_a_quantized_input_as_floats_is_fenced_from_it() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Conv2d(3, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.a(x).sigmoid().mean() * x.exp()

    fenced = keep_floats(int8(Both(), images()), RULES)
    assert ("x", ["exp"]) in fences(fenced)
    lowered = lower(fenced, stores_integers=False)
    assert isinstance(lowered.module, fx.GraphModule)
    first = next(node for node in lowered.module.graph.nodes if node.op == "placeholder")
    assert [operator_of(user) for user in first.users] == ["quantize_per_tensor"]


def test_fences_change_no_number() -> None:
    model = int8(Between(nn.ELU()), images())
    with torch.no_grad():
        outputs = [m.module(images()) for m in (model, keep_floats(model, RULES))]
    assert torch.equal(*outputs)


@pytest.mark.parametrize(
    ("what", "runs"),
    [
        (lambda x: x + x, True),
        (lambda x: x + 1.0, False),
        (lambda x: torch.add(x, x, alpha=2), False),
        (lambda x: x.mean((2, 3)), True),
        (nn.functional.hardswish, True),
        (lambda x: x.sigmoid(), False),
        (lambda x: nn.functional.avg_pool2d(x, 3, 1, 1), True),
        (lambda x: nn.functional.avg_pool2d(x, 3, 1, 1, False, False), False),
        (lambda x: nn.functional.pad(x, (1, 1)), True),
        (lambda x: nn.functional.pad(x, (1, 1), value=2.0), False),
        (lambda x: torch.cat([x, x.relu()], 1), True),
        (lambda x: x.view(x.shape[0], -1), True),
    ],
)
def test_an_operator_runs_in_integers_where_rules_and_quantizers_say_so(
    what: Callable[[Tensor], Tensor], runs: bool
) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Conv2d(3, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            return what(self.a(x))

    module = int8(Net(), images()).module
    assert isinstance(module, fx.GraphModule)
    integers = Integers(module, RULES)
    calls = [
        node
        for node in module.graph.nodes
        if node.op == "call_function" and operator_of(node) not in {"conv2d", "sym_size", "getitem"}
    ]
    assert {integers.runs(node) for node in calls} == {runs}
