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

__all__ = [
    "BatchNormScale",
    "FilterNorm",
    "Fisher",
    "GeometricMedian",
    "GroupSparsity",
    "Importance",
    "Magnitude",
    "PruneChannels",
    "PruneHeads",
    "PruneVocabulary",
    "Random",
    "RemoveBlocks",
    "RemoveSimilarBlocks",
    "ScaleSparsity",
    "Taylor",
    "allot",
    "block_similarity",
    "bytes_of",
    "macs_of",
    "removable_blocks",
    "silencer",
]
