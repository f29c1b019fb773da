"""Removing what matters least."""

from lilliput.prune.blocks import RemoveBlocks
from lilliput.prune.channels import PruneChannels, silencer
from lilliput.prune.importance import BatchNormScale, Importance, Magnitude, Taylor

__all__ = [
    "BatchNormScale",
    "Importance",
    "Magnitude",
    "PruneChannels",
    "RemoveBlocks",
    "Taylor",
    "silencer",
]
