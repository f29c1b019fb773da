"""Fewer bits per number, placed by the rules of the runtime that will execute them."""

from lilliput.quantize.aware import QuantizeAware
from lilliput.quantize.check import check_rules
from lilliput.quantize.fake import FakeQuantize, quantizers
from lilliput.quantize.learn_rounding import LearnRounding
from lilliput.quantize.observe import Entropy, MeanSquaredError, MinMax, Observer, Percentile
from lilliput.quantize.precision import Precision
from lilliput.quantize.reconstruct_blocks import ReconstructBlocks
from lilliput.quantize.second_order import RoundSecondOrder
from lilliput.quantize.static import QuantizeStatic

__all__ = [
    "Entropy",
    "FakeQuantize",
    "LearnRounding",
    "MeanSquaredError",
    "MinMax",
    "Observer",
    "Percentile",
    "Precision",
    "QuantizeAware",
    "QuantizeStatic",
    "ReconstructBlocks",
    "RoundSecondOrder",
    "check_rules",
    "quantizers",
]
