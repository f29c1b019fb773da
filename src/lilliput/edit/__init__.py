"""Passes that give another architecture for the same job."""

from lilliput.edit.ends import PoolFirst
from lilliput.edit.factors.channels import ChannelSvd, Svd
from lilliput.edit.factors.spatial import SpatialSvd
from lilliput.edit.factors.tucker import Tucker
from lilliput.edit.fuse import FuseBatchNorm
from lilliput.edit.kernels import ShrinkKernels
from lilliput.edit.later import DilateInstead, MoveStride
from lilliput.edit.low_rank import FactorizeLayers
from lilliput.edit.narrow import Narrow, Reinitialize
from lilliput.edit.separable import SeparateConvolutions

__all__ = [
    "ChannelSvd",
    "DilateInstead",
    "FactorizeLayers",
    "FuseBatchNorm",
    "MoveStride",
    "Narrow",
    "PoolFirst",
    "Reinitialize",
    "SeparateConvolutions",
    "ShrinkKernels",
    "SpatialSvd",
    "Svd",
    "Tucker",
]
