"""Fewer bits per number, placed by the rules of the runtime that will execute them."""

from lilliput.quantize.aware import QuantizeAware
from lilliput.quantize.bias import CorrectBias, CorrectBiasFromStatistics
from lilliput.quantize.bit_budget import AverageBits, BitBudget, LayerCosts, WeightBytes
from lilliput.quantize.bit_sensitivity import (
    BitSensitivity,
    bit_sensitivity,
    estimate_bit_sensitivity,
)
from lilliput.quantize.check import check_rules
from lilliput.quantize.cluster import ClusterWeights, Palette, SharedWeight, palettes
from lilliput.quantize.equalize import EqualizeLayers
from lilliput.quantize.fake import FakeQuantize, quantizers
from lilliput.quantize.learn_ranges import LearnRanges
from lilliput.quantize.learn_rounding import LearnRounding
from lilliput.quantize.migrate import MigrateScales
from lilliput.quantize.mixed import Allotment, QuantizeMixed, allot_bits, bits_front
from lilliput.quantize.observe import Entropy, MeanSquaredError, MinMax, Observer, Percentile
from lilliput.quantize.precision import Precision
from lilliput.quantize.progressive import LowerBits
from lilliput.quantize.reconstruct_blocks import ReconstructBlocks
from lilliput.quantize.second_order import RoundSecondOrder
from lilliput.quantize.static import QuantizeStatic

__all__ = [
    "Allotment",
    "AverageBits",
    "BitBudget",
    "BitSensitivity",
    "ClusterWeights",
    "CorrectBias",
    "CorrectBiasFromStatistics",
    "Entropy",
    "EqualizeLayers",
    "FakeQuantize",
    "LayerCosts",
    "LearnRanges",
    "LearnRounding",
    "LowerBits",
    "MeanSquaredError",
    "MigrateScales",
    "MinMax",
    "Observer",
    "Palette",
    "Percentile",
    "Precision",
    "QuantizeAware",
    "QuantizeMixed",
    "QuantizeStatic",
    "ReconstructBlocks",
    "RoundSecondOrder",
    "SharedWeight",
    "WeightBytes",
    "allot_bits",
    "bit_sensitivity",
    "bits_front",
    "check_rules",
    "estimate_bit_sensitivity",
    "palettes",
    "quantizers",
]
