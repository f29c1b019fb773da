import pytest
import torch

from lilliput.core import IntegerType, run
from lilliput.quantize import QuantizeAware, quantizers
from lilliput.quantize.numbers.fake import FakeQuantize
from lilliput.quantize.numbers.learned import round_learned
from lilliput.targets import get_target
from lilliput.testing.nets import image_classifier

FOUR = IntegerType(4, is_symmetric=True)
ZERO = torch.zeros(1, dtype=torch.int32)


def test_the_gradient_of_the_step_is_the_papers() -> None:
    torch.manual_seed(0)
    x = torch.randn(200) * 3
    scale = torch.tensor([0.5], requires_grad=True)
    (1e-4 * round_learned(x, scale, ZERO, FOUR).sum()).backward()
    ratio = x / 0.5
    inside = (ratio > FOUR.low) & (ratio < FOUR.high)
    by_value = torch.where(inside, ratio.round() - ratio, ratio.clamp(FOUR.low, FOUR.high))
    expected = 1e-4 * by_value.sum() / (x.numel() * FOUR.high) ** 0.5
    torch.testing.assert_close(scale.grad, expected.view(1), rtol=1e-4, atol=1e-9)


def test_each_channel_has_the_gradient_of_a_tensor_of_its_own() -> None:
    torch.manual_seed(0)
    x, slope = torch.randn(3, 4, 5), 1e-4 * torch.randn(3, 4, 5)
    scales = torch.tensor([0.1, 0.3, 0.2, 0.5], requires_grad=True)
    zeros = torch.zeros(4, dtype=torch.int32)
    round_learned(x, scales, zeros, FOUR, axis=1).backward(slope)
    for channel in range(4):
        own = scales.detach()[channel : channel + 1].requires_grad_()
        round_learned(x[:, channel], own, ZERO, FOUR).backward(slope[:, channel])
        torch.testing.assert_close(own.grad[0], scales.grad[channel], rtol=1e-4, atol=1e-5)


def test_a_gradient_is_no_more_than_a_fiftieth_of_the_step() -> None:
    scale = torch.tensor([0.5], requires_grad=True)
    (1e6 * round_learned(torch.randn(40), scale, ZERO, FOUR).square().sum()).backward()
    assert scale.grad.abs().item() == pytest.approx(0.02 * 0.5)


def test_a_steep_loss_takes_no_step_through_zero() -> None:
    x = torch.randn(400)
    scale = torch.tensor([0.3], requires_grad=True)
    optimizer = torch.optim.SGD([scale], lr=0.1, momentum=0.9)
    for _ in range(300):
        optimizer.zero_grad()
        (1e6 * round_learned(x, scale, ZERO, FOUR).square().sum()).backward()
        optimizer.step()
        assert scale > 0


def test_steps_that_an_optimizer_took_through_zero_come_back() -> None:
    quantizer = FakeQuantize(FOUR)
    quantizer.set_range(torch.tensor([-1.0]), torch.tensor([1.0]))
    quantizer.learn()
    wanted = quantizer.scale.detach().clone()
    quantizer.scale.data.neg_()
    quantizer(torch.randn(5))
    assert torch.equal(quantizer.scale, wanted)
    quantizer.scale.data.neg_()
    quantizer.settle()
    assert torch.equal(quantizer.scale, wanted)


def test_values_inside_let_the_gradient_through_and_others_none() -> None:
    x = torch.tensor([0.1, 1.4, 100.0, -100.0], requires_grad=True)
    round_learned(x, torch.tensor([0.5]), ZERO, FOUR).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [1.0, 1.0, 0.0, 0.0]


def test_rounds_as_a_quantizer_that_does_not_learn() -> None:
    x = torch.randn(64) * 2
    found = round_learned(x, torch.tensor([0.25]), ZERO, FOUR)
    expected = torch.fake_quantize_per_tensor_affine(x, 0.25, 0, FOUR.low, FOUR.high)
    torch.testing.assert_close(found, expected)


def test_training_moves_the_steps() -> None:
    model, task = image_classifier()
    rules = get_target("onnxruntime-cpu").rules
    aware = run(model, [QuantizeAware(rules, task, samples=64, learns_scales=True)])
    before = {name: q.scale.detach().clone() for name, q in quantizers(aware.module).items()}
    aware.module.train()
    optimizer = torch.optim.SGD(aware.module.parameters(), lr=0.01)
    for inputs, labels in task.batches("train"):
        task.loss(aware.module(*inputs), labels).backward()
        optimizer.step()
    moved = [
        not torch.equal(before[name], quantizer.scale)
        for name, quantizer in quantizers(aware.module).items()
    ]
    assert all(moved)
