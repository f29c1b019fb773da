"""What a network is made of: read-only analyses, and the capture that passes edit."""

from lilliput.graph.capture import capture, is_captured
from lilliput.graph.fold import fold_batch_norm
from lilliput.graph.graph import Graph, operator_of, owner_of, shape_of
from lilliput.graph.trace import trace

__all__ = [
    "Graph",
    "capture",
    "fold_batch_norm",
    "is_captured",
    "operator_of",
    "owner_of",
    "shape_of",
    "trace",
]
