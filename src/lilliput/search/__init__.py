"""Many recipes tried: the ladder of known rungs first, then a sampler that goes on from them."""

from lilliput.search.candidate import Candidate
from lilliput.search.ladder import Ladder
from lilliput.search.latency.narrow import NarrowToLatency
from lilliput.search.workshop import Workshop

__all__ = ["Candidate", "Ladder", "NarrowToLatency", "Workshop"]
