import pytest
import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from lilliput.core import Model, Pass, run
from lilliput.edit import FuseBatchNorm
from lilliput.testing import TINY_TASKS, PassContract, learned


class TestFuseBatchNorm(PassContract):
    @pytest.fixture
    def pass_(self) -> Pass:
        return FuseBatchNorm()


@pytest.mark.parametrize("tiny", TINY_TASKS)
def test_a_trained_network_computes_the_same_without_batch_norm(tiny: str) -> None:
    model, task = TINY_TASKS[tiny]()
    model = learned(model, task, epochs=1)
    fused = run(model, [FuseBatchNorm()])
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in fused.module.modules())
    inputs, _ = next(task.batches("test"))
    for output, expected in zip(
        *(tree_leaves(m.module(*inputs)) for m in (fused, model)), strict=True
    ):
        torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)


def test_a_norm_that_no_plain_layer_feeds_stays_and_is_noted() -> None:
    class Padded(nn.Conv2d):
        """A class of one's own, which may compute anything."""

    net = nn.Sequential(nn.BatchNorm2d(3), Padded(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))
    fused = run(Model(net.eval(), (torch.zeros(2, 3, 8, 8),)), [FuseBatchNorm()])
    assert [str(note) for note in fused.notes] == [
        "FuseBatchNorm: 0 and 1 more stay: no plain layer alone feeds them"
    ]


def test_may_not_follow_quantizers() -> None:
    class Quantize:
        stage = "quantize"

        def __call__(self, model: Model, /) -> Model:
            return model

    model, _ = TINY_TASKS["image_classifier"]()
    with pytest.raises(Exception, match="FuseBatchNorm cannot come after Quantize"):
        run(model, [Quantize(), FuseBatchNorm()])
