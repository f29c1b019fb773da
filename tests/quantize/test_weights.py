from typing import ClassVar

import pytest
import torch

from lilliput.core import Model, Pass, PerGroup, PerTensor, run
from lilliput.quantize import QuantizeWeights, quantizers
from lilliput.targets import get_target
from lilliput.testing import TINY_TASKS, PassContract

RULES = get_target("onnxruntime-cpu").rules
assert RULES is not None


class TestQuantizeWeights(PassContract):
    tasks: ClassVar[tuple[str, ...]] = ("two_input_transformer",)

    @pytest.fixture
    def pass_(self) -> Pass:
        return QuantizeWeights(RULES, bits=4)


def weights(bits: int, **settings: object) -> tuple[Model, Model]:
    model, _ = TINY_TASKS["two_output_regressor"]()
    return model, run(model, [QuantizeWeights(RULES, bits, **settings)])


@pytest.mark.parametrize("bits", [8, 4, 2])
def test_each_weight_is_rounded_to_its_channel_s_grid_and_nothing_else_is(bits: int) -> None:
    model, small = weights(bits)
    found = quantizers(small.module)
    assert set(found) == {
        f"{name}.weight_quantizer" for name in ("body.0", "body.2", "position", "speed")
    }
    real = model.module.get_parameter("body.0.weight").detach()
    scale = real.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1)
    rounded = found["body.0.weight_quantizer"](real)
    torch.testing.assert_close(rounded, (real / scale).round() * scale)


def test_groups_and_tensors_share_scales_as_asked() -> None:
    for granularity, scales in ((PerTensor(), 1), (PerGroup(6), 24 * 6 // 6)):
        _, small = weights(8, granularity=granularity)
        assert quantizers(small.module)["body.0.weight_quantizer"].scale.numel() == scales


@pytest.mark.parametrize("bits", [1, 9])
def test_widths_that_no_target_stores_are_refused(bits: int) -> None:
    with pytest.raises(ValueError, match=f"must be 2 to 8, got {bits}"):
        QuantizeWeights(RULES, bits)
