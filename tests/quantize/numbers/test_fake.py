import copy

import pytest
import torch
from torch import Tensor, nn
from torch.ao.quantization import FakeQuantize as PyTorchs, MinMaxObserver

from lilliput.core import IntegerType, PerChannel
from lilliput.quantize import FakeQuantize, quantizers
from lilliput.quantize.numbers.affine import dequantize, quantize

INT8 = IntegerType(is_symmetric=True, granularity=PerChannel())
UINT8 = IntegerType(is_signed=False)


def ranged(kind: IntegerType, low: float, high: float, **options: float) -> FakeQuantize:
    quantizer = FakeQuantize(kind, **options)
    quantizer.set_range(torch.tensor([low]), torch.tensor([high]))
    return quantizer


def test_does_nothing_before_it_has_a_range() -> None:
    x = torch.randn(5)
    quantizer = FakeQuantize(UINT8)
    assert quantizer(x) is x
    assert not quantizers(nn.Sequential(quantizer))


def test_computes_what_the_formula_says() -> None:
    x = torch.randn(3, 4, 5) * 3
    quantizer = ranged(UINT8, -1.0, 4.0)
    expected = dequantize(
        quantize(x, quantizer.scale, quantizer.zero_point, UINT8),
        quantizer.scale,
        quantizer.zero_point,
    )
    torch.testing.assert_close(quantizer(x), expected)


def test_computes_what_pytorchs_fake_quantizer_computes() -> None:
    x = torch.randn(64)
    theirs = PyTorchs(MinMaxObserver, quant_min=0, quant_max=255, dtype=torch.quint8)
    expected = theirs(x)
    torch.testing.assert_close(ranged(UINT8, float(x.min()), float(x.max()))(x), expected)


@pytest.mark.parametrize("axis", [0, 1])
def test_every_channel_has_its_own_scale(axis: int) -> None:
    weight = torch.randn(4, 4, 3) * torch.tensor([1.0, 10.0, 100.0, 0.0]).view(
        [-1 if d == axis else 1 for d in range(3)]
    )
    quantizer = FakeQuantize(INT8, axis, 4)
    rows = weight.transpose(0, axis).flatten(1)
    quantizer.set_range(*rows.aminmax(dim=1))
    torch.testing.assert_close(quantizer.scale[:3], (rows.abs().amax(1) / 127)[:3])
    error = (quantizer(weight) - weight).abs().transpose(0, axis).flatten(1).amax(1)
    assert (error <= quantizer.scale * 0.501).all()


def test_gradients_pass_inside_the_range_and_stop_outside() -> None:
    x = torch.tensor([-2.0, -0.5, 0.25, 0.9, 3.0], requires_grad=True)
    ranged(UINT8, -1.0, 1.0)(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 1, 1, 1, 0]


def test_a_weights_scale_is_always_its_own() -> None:
    quantizer = FakeQuantize(INT8, 0, 2, momentum=1.0)
    quantizer.set_range(-torch.ones(2), torch.ones(2))
    for weight in (torch.randn(2, 9), torch.randn(2, 9) / 5):
        for training in (True, False):
            quantizer.train(training)(weight)
            torch.testing.assert_close(quantizer.scale, weight.abs().amax(1) / 127)


def test_an_activations_range_widens_at_once_narrows_slowly_and_rests_in_eval_mode() -> None:
    quantizer = ranged(UINT8, 0.0, 1.0, momentum=0.1)
    quantizer.eval()(torch.tensor([0.0, 8.0]))
    assert float(quantizer.high) == 1.0
    quantizer.train()(torch.tensor([-1.0, 8.0]))
    assert (float(quantizer.low), float(quantizer.high)) == (-1.0, 8.0)
    quantizer(torch.tensor([0.0, 3.0]))
    torch.testing.assert_close(quantizer.high, torch.tensor([7.5]))
    torch.testing.assert_close(quantizer.low, torch.tensor([-0.9]))


def test_without_momentum_the_range_stays_in_training() -> None:
    quantizer = ranged(UINT8, 0.0, 1.0).train()
    quantizer(torch.tensor([-5.0, 5.0]))
    assert (float(quantizer.low), float(quantizer.high)) == (0.0, 1.0)


def test_a_range_is_never_below_the_least() -> None:
    quantizer = FakeQuantize(INT8, 0, 2)
    quantizer.least.copy_(torch.tensor([0.5, 0.0]))
    quantizer.set_range(torch.tensor([-0.1, -0.1]), torch.tensor([0.2, 0.2]))
    torch.testing.assert_close(quantizer.scale * 127, torch.tensor([0.5, 0.2]))


def test_works_in_bfloat16_with_scales_in_float32() -> None:
    x = torch.randn(32, dtype=torch.bfloat16, requires_grad=True)
    quantizer = ranged(UINT8, -3.0, 3.0, momentum=0.01).train()
    y = quantizer(x)
    y.sum().backward()
    assert y.dtype == torch.bfloat16
    assert quantizer.scale.dtype == torch.float32
    assert x.grad is not None


def test_exports_as_plain_operators_without_changing_buffers() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.quantizer = ranged(UINT8, 0.0, 1.0, momentum=1.0)

        def forward(self, x: Tensor) -> Tensor:
            return self.quantizer(x)

    program = torch.export.export(Net().eval(), (torch.rand(4),), strict=False)
    assert not program.graph_signature.buffers_to_mutate
    assert any("dequantize" in str(node.target) for node in program.graph.nodes)


def test_a_copy_and_a_saved_state_keep_the_range() -> None:
    quantizer = ranged(UINT8, -1.0, 3.0)
    x = torch.randn(9)
    torch.testing.assert_close(copy.deepcopy(quantizer)(x), quantizer(x))
    other = ranged(UINT8, 0.0, 1.0)
    other.load_state_dict(quantizer.state_dict())
    torch.testing.assert_close(other(x), quantizer(x))
