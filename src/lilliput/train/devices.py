"""Which devices a training runs on."""

import os

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision, Precision
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import nn

from lilliput.train.precision import resolve
from lilliput.train.training import Training

__all__ = ["start"]


def start(training: Training, learner: nn.Module) -> Fabric:
    """One device; under `torchrun` one for each process.

    A float64 network stays what it is: bf16 would throw away what it was chosen for.
    """
    kind = Fabric(accelerator=training.accelerator, devices=1).device.type
    is_double = any(p.dtype == torch.float64 for p in learner.parameters())
    is_mixed = resolve(training.precision, kind) == "bf16-mixed" and not is_double
    precision = MixedPrecision("bf16-mixed", kind) if is_mixed else Precision()
    if TorchElasticEnvironment.detect():
        local = int(os.environ["LOCAL_WORLD_SIZE"])
        fabric = Fabric(
            accelerator=training.accelerator,
            devices=local,
            num_nodes=int(os.environ["WORLD_SIZE"]) // local,
            plugins=precision,
            strategy=DDPStrategy(find_unused_parameters=True),
        )
    else:
        fabric = Fabric(accelerator=training.accelerator, devices=1, plugins=precision)
    fabric.launch()
    return fabric
