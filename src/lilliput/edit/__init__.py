"""Passes that give another architecture for the same job."""

from lilliput.edit.fuse import FuseBatchNorm

__all__ = ["FuseBatchNorm"]
