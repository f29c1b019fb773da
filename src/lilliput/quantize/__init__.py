"""Fewer bits per number, placed by the rules of the runtime that will execute them."""

from lilliput.core import PerChannel, PerGroup, PerTensor
from lilliput.quantize.aware import QuantizeAware
from lilliput.quantize.bias import CorrectBias, CorrectBiasFromStatistics
from lilliput.quantize.bit_budget import AverageBits, BitBudget, LayerCosts, WeightBytes
from lilliput.quantize.bit_sensitivity import (
    BitSensitivity,
    bit_sensitivity,
    estimate_bit_sensitivity,
)
from lilliput.quantize.check import check_rules, weights_line
from lilliput.quantize.cluster import ClusterWeights, Palette, SharedWeight, palettes
from lilliput.quantize.dynamic import QuantizeDynamic
from lilliput.quantize.equalize import EqualizeLayers
from lilliput.quantize.fake import FakeQuantize, quantizers
from lilliput.quantize.floats import ConvertFloat
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
from lilliput.quantize.weights import QuantizeWeights

__all__ = [
    "Allotment",
    "AverageBits",
    "BitBudget",
    "BitSensitivity",
    "ClusterWeights",
    "ConvertFloat",
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
    "PerChannel",
    "PerGroup",
    "PerTensor",
    "Percentile",
    "Precision",
    "QuantizeAware",
    "QuantizeDynamic",
    "QuantizeMixed",
    "QuantizeStatic",
    "QuantizeWeights",
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
    "weights_line",
]
