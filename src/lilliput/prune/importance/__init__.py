"""How much each unit of a group matters. The least important go first."""

from lilliput.prune.importance.batch_norm import BatchNormScale
from lilliput.prune.importance.fisher import Fisher
from lilliput.prune.importance.geometric_median import GeometricMedian
from lilliput.prune.importance.magnitude import FilterNorm, Magnitude
from lilliput.prune.importance.random_scores import Random
from lilliput.prune.importance.scores import Importance, Scores
from lilliput.prune.importance.taylor import Taylor

__all__ = [
    "BatchNormScale",
    "FilterNorm",
    "Fisher",
    "GeometricMedian",
    "Importance",
    "Magnitude",
    "Random",
    "Scores",
    "Taylor",
]
