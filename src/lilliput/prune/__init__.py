"""Removing what matters least."""

from lilliput.prune.allot import allot, bytes_of, macs_of
from lilliput.prune.blocks import RemoveBlocks, removable_blocks
from lilliput.prune.channels import PruneChannels, silencer
from lilliput.prune.importance import BatchNormScale, Importance, Magnitude, Taylor

__all__ = [
    "BatchNormScale",
    "Importance",
    "Magnitude",
    "PruneChannels",
    "RemoveBlocks",
    "Taylor",
    "allot",
    "bytes_of",
    "macs_of",
    "removable_blocks",
    "silencer",
]
