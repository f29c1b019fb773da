"""Removing what matters least."""

from lilliput.prune.allot import allot, bytes_of, macs_of
from lilliput.prune.blocks import RemoveBlocks, removable_blocks
from lilliput.prune.channels import PruneChannels, silencer
from lilliput.prune.heads import PruneHeads
from lilliput.prune.importance import (
    BatchNormScale,
    FilterNorm,
    Fisher,
    GeometricMedian,
    Importance,
    Magnitude,
    Random,
    Taylor,
)
from lilliput.prune.similarity import RemoveSimilarBlocks, block_similarity
from lilliput.prune.sparse_learning import GroupSparsity, ScaleSparsity
from lilliput.prune.vocabulary import PruneVocabulary
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
    "FilterNorm",
    "Fisher",
    "FixMasks",
    "GeometricMedian",
    "GradualPruning",
    "GroupSparsity",
    "HoldZeros",
    "Importance",
    "Magnitude",
    "MovementPruning",
    "NOfM",
    "Pattern",
    "PerLayer",
    "PruneChannels",
    "PruneHeads",
    "PruneSecondOrder",
    "PruneVocabulary",
    "PruneWeights",
    "Random",
    "RemoveBlocks",
    "RemoveSimilarBlocks",
    "Rewind",
    "ScaleSparsity",
    "ScoreMovement",
    "ShuffleMasks",
    "Taylor",
    "Unstructured",
    "WeightBlocks",
    "allot",
    "block_similarity",
    "bytes_of",
    "macs_of",
    "masked",
    "removable_blocks",
    "set_mask",
    "silencer",
    "sparsity_of",
]
