"""Passes that give another architecture for the same job."""

from lilliput.edit.fuse import FuseBatchNorm
from lilliput.edit.narrow import Narrow, Reinitialize

__all__ = ["FuseBatchNorm", "Narrow", "Reinitialize"]
