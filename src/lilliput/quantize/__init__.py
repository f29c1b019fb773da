"""Fewer bits per number, placed by the rules of the runtime that will execute them."""

from lilliput.quantize.aware import QuantizeAware
from lilliput.quantize.bias import CorrectBias, CorrectBiasFromStatistics
from lilliput.quantize.check import check_rules
from lilliput.quantize.equalize import EqualizeLayers
from lilliput.quantize.fake import FakeQuantize, quantizers
from lilliput.quantize.migrate import MigrateScales
from lilliput.quantize.observe import Entropy, MeanSquaredError, MinMax, Observer, Percentile
from lilliput.quantize.precision import Precision
from lilliput.quantize.second_order import RoundSecondOrder
from lilliput.quantize.static import QuantizeStatic

__all__ = [
    "CorrectBias",
    "CorrectBiasFromStatistics",
    "Entropy",
    "EqualizeLayers",
    "FakeQuantize",
    "MeanSquaredError",
    "MigrateScales",
    "MinMax",
    "Observer",
    "Percentile",
    "Precision",
    "QuantizeAware",
    "QuantizeStatic",
    "RoundSecondOrder",
    "check_rules",
    "quantizers",
]
