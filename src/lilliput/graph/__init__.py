"""What a network is made of: read-only analyses, and the capture that passes edit."""

from lilliput.graph.advice import Advice, advice
from lilliput.graph.capture import capture, is_captured
from lilliput.graph.columns import Geometry, columns, columns_at, filters
from lilliput.graph.cost import LayerCost, cost
from lilliput.graph.fold import fold_batch_norm
from lilliput.graph.fold_padding import fold_padding
from lilliput.graph.graph import Graph, operator_of, owner_of, shape_of
from lilliput.graph.groups import ChannelGroup, ChannelGroups, Site, Skipped, channel_groups
from lilliput.graph.memory import MemoryProfile, peak_memory
from lilliput.graph.moments import Moments, input_moments
from lilliput.graph.removal import remove_channels, silence_channels
from lilliput.graph.sensitivity import Sensitivity, sensitivity
from lilliput.graph.trace import trace
from lilliput.graph.unfold import unfolded_state

__all__ = [
    "Advice",
    "ChannelGroup",
    "ChannelGroups",
    "Geometry",
    "Graph",
    "LayerCost",
    "MemoryProfile",
    "Moments",
    "Sensitivity",
    "Site",
    "Skipped",
    "advice",
    "capture",
    "channel_groups",
    "columns",
    "columns_at",
    "cost",
    "filters",
    "fold_batch_norm",
    "fold_padding",
    "input_moments",
    "is_captured",
    "operator_of",
    "owner_of",
    "peak_memory",
    "remove_channels",
    "sensitivity",
    "shape_of",
    "silence_channels",
    "trace",
    "unfolded_state",
]
