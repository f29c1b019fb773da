"""Fewer bits per number, placed by the rules of the runtime that will execute them."""

from lilliput.core import PerChannel, PerGroup, PerTensor
from lilliput.quantize.aware import QuantizeAware
from lilliput.quantize.check import check_rules, weights_line
from lilliput.quantize.dynamic import QuantizeDynamic
from lilliput.quantize.fake import FakeQuantize, quantizers
from lilliput.quantize.floats import ConvertFloat
from lilliput.quantize.observe import Entropy, MeanSquaredError, MinMax, Observer, Percentile
from lilliput.quantize.precision import Precision
from lilliput.quantize.second_order import RoundSecondOrder
from lilliput.quantize.static import QuantizeStatic
from lilliput.quantize.weights import QuantizeWeights

__all__ = [
    "ConvertFloat",
    "Entropy",
    "FakeQuantize",
    "MeanSquaredError",
    "MinMax",
    "Observer",
    "PerChannel",
    "PerGroup",
    "PerTensor",
    "Percentile",
    "Precision",
    "QuantizeAware",
    "QuantizeDynamic",
    "QuantizeStatic",
    "QuantizeWeights",
    "RoundSecondOrder",
    "check_rules",
    "quantizers",
    "weights_line",
]
