"""Learning again: fine-tuning and distillation, one loop for both."""

from lilliput.train.distill import Distill
from lilliput.train.distill_layers import DistillLayers
from lilliput.train.fine_tune import FineTune
from lilliput.train.hints import Hint
from lilliput.train.losses import Match, MeanSquaredErrorMatch, SoftTargets
from lilliput.train.mixing import CutMix, Mixing
from lilliput.train.optimizers import SGD, AdamW, Optimizer
from lilliput.train.recalibrate import RecalibrateNorms
from lilliput.train.schedules import Constant, Cosine, OneCycle, Schedule
from lilliput.train.training import Training

__all__ = [
    "SGD",
    "AdamW",
    "Constant",
    "Cosine",
    "CutMix",
    "Distill",
    "DistillLayers",
    "FineTune",
    "Hint",
    "Match",
    "MeanSquaredErrorMatch",
    "Mixing",
    "OneCycle",
    "Optimizer",
    "RecalibrateNorms",
    "Schedule",
    "SoftTargets",
    "Training",
]
