"""Removing what matters least."""

from lilliput.prune.allot import allot, bytes_of, macs_of
from lilliput.prune.blocks import RemoveBlocks, removable_blocks
from lilliput.prune.channels import PruneChannels, silencer
from lilliput.prune.importance import BatchNormScale, Importance, Magnitude, Taylor
from lilliput.prune.weights.allotment import (
    AcrossLayers,
    Allotment,
    BySensitivity,
    ErdosRenyiKernel,
    PerLayer,
)
from lilliput.prune.weights.gradual import GradualPruning
from lilliput.prune.weights.hold import HoldZeros
from lilliput.prune.weights.mask import masked, set_mask, sparsity_of
from lilliput.prune.weights.movement import FixMasks, MovementPruning, ScoreMovement
from lilliput.prune.weights.patterns import NOfM, Pattern, Unstructured, WeightBlocks
from lilliput.prune.weights.prune_weights import PruneWeights
from lilliput.prune.weights.second_order import PruneSecondOrder
from lilliput.prune.weights.tickets import Rewind, ShuffleMasks

__all__ = [
    "AcrossLayers",
    "Allotment",
    "BatchNormScale",
    "BySensitivity",
    "ErdosRenyiKernel",
    "FixMasks",
    "GradualPruning",
    "HoldZeros",
    "Importance",
    "Magnitude",
    "MovementPruning",
    "NOfM",
    "Pattern",
    "PerLayer",
    "PruneChannels",
    "PruneSecondOrder",
    "PruneWeights",
    "RemoveBlocks",
    "Rewind",
    "ScoreMovement",
    "ShuffleMasks",
    "Taylor",
    "Unstructured",
    "WeightBlocks",
    "allot",
    "bytes_of",
    "macs_of",
    "masked",
    "removable_blocks",
    "set_mask",
    "silencer",
    "sparsity_of",
]
