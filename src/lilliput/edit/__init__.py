"""Passes that give another architecture for the same job."""

from lilliput.edit.factors.channels import ChannelSvd, Svd
from lilliput.edit.factors.spatial import SpatialSvd
from lilliput.edit.factors.tucker import Tucker
from lilliput.edit.fuse import FuseBatchNorm
from lilliput.edit.kernels import ShrinkKernels
from lilliput.edit.low_rank import FactorizeLayers
from lilliput.edit.separable import SeparateConvolutions

__all__ = [
    "ChannelSvd",
    "FactorizeLayers",
    "FuseBatchNorm",
    "SeparateConvolutions",
    "ShrinkKernels",
    "SpatialSvd",
    "Svd",
    "Tucker",
]
