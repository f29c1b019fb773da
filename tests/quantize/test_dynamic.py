from typing import ClassVar

import pytest
import torch

from lilliput.core import Pass, UnsupportedError, run
from lilliput.quantize import QuantizeDynamic
from lilliput.quantize.numbers.dynamic_range import DynamicQuantize
from lilliput.targets import get_target
from lilliput.testing import TINY_TASKS, PassContract

RULES = get_target("onnxruntime-cpu").rules
assert RULES is not None


class TestQuantizeDynamic(PassContract):
    tasks: ClassVar[tuple[str, ...]] = ("two_output_regressor",)

    @pytest.fixture
    def pass_(self) -> Pass:
        return QuantizeDynamic(RULES)


def test_a_tensor_has_the_range_at_hand() -> None:
    # the formula of the ONNX operator DynamicQuantizeLinear
    x = torch.tensor([[-1.0, 0.3, 2.0], [0.1, 0.2, 4.1]])
    scale = (4.1 + 1.0) / 255
    zero_point = round(1.0 / scale)
    expected = ((x / scale).round() + zero_point).clamp(0, 255)
    torch.testing.assert_close(DynamicQuantize()(x), (expected - zero_point) * scale)


def test_rows_have_ranges_of_their_own_where_the_runtime_gives_them_one() -> None:
    x = torch.tensor([[0.0, 1.0], [0.0, 1000.0]])
    rows = DynamicQuantize(axes=-1)(x)
    torch.testing.assert_close(rows, x)
    assert DynamicQuantize()(x)[0, 1] == 0.0


def test_gradients_pass_straight_through() -> None:
    x = torch.randn(3, 4, requires_grad=True)
    DynamicQuantize()(x).sum().backward()
    torch.testing.assert_close(x.grad, torch.ones(3, 4))


def test_readers_of_one_tensor_share_its_integers() -> None:
    model, _ = TINY_TASKS["two_output_regressor"]()
    small = run(model, [QuantizeDynamic(RULES)])
    parts = [part for part in small.module.modules() if isinstance(part, DynamicQuantize)]
    assert len(parts) == 3  # four layers, two of which read the same


def test_a_network_without_linear_layers_is_refused() -> None:
    model, _ = TINY_TASKS["image_to_image"]()
    with pytest.raises(UnsupportedError, match="the weights of linear, and the network runs none"):
        run(model, [QuantizeDynamic(RULES)])
