"""A network with one layer that is bad on purpose, and a runtime that makes it matter."""

from dataclasses import replace

import torch

from lilliput.core import Model, PerTensor, Target, Task
from lilliput.targets import get_target
from lilliput.testing.nets import image_classifier, learned

__all__ = ["BAD", "per_tensor", "with_outlier"]

BAD = "conv1"


def per_tensor() -> Target:
    """ONNX Runtime with one scale for a whole weight."""
    target = get_target("onnxruntime-cpu")
    assert target.rules is not None
    weight = replace(target.rules.weight, granularity=PerTensor())
    return replace(target, rules=replace(target.rules, weight=weight))


def with_outlier() -> tuple[Model, Task]:
    """A trained net whose layer `conv1` has a huge weight that never meets anything but zero."""
    model, task = image_classifier()
    model = learned(model, task)
    net = model.module
    with torch.no_grad():
        net.stem[1].weight[0] = 0.0
        net.stem[1].bias[0] = 0.0
        net.conv1.weight[3, 0] = 1000.0
    return model, task
