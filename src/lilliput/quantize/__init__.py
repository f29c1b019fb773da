"""Fewer bits per number, placed by the rules of the runtime that will execute them."""

from lilliput.core import PerChannel, PerGroup, PerTensor
from lilliput.quantize.aware import QuantizeAware
from lilliput.quantize.bits.bit_budget import (
    AverageBits,
    BitBudget,
    LayerCosts,
    RamBytes,
    WeightBytes,
)
from lilliput.quantize.bits.bit_sensitivity import (
    BitSensitivity,
    bit_sensitivity,
    estimate_bit_sensitivity,
)
from lilliput.quantize.bits.mixed import Allotment, QuantizeMixed, allot_bits, bits_front
from lilliput.quantize.bits.precision import Precision
from lilliput.quantize.bits.progressive import LowerBits
from lilliput.quantize.check import check_rules, weights_line
from lilliput.quantize.coded.coded_aware import QuantizeCodedAware
from lilliput.quantize.coded.quantize_coded import QuantizeCoded
from lilliput.quantize.coded.rate import RatePenalty
from lilliput.quantize.coded.settle import SettleCoded
from lilliput.quantize.dynamic import QuantizeDynamic
from lilliput.quantize.floats import ConvertFloat
from lilliput.quantize.numbers.fake import FakeQuantize, quantizers
from lilliput.quantize.ranges.learn_ranges import LearnRanges
from lilliput.quantize.ranges.observe import Entropy, MeanSquaredError, MinMax, Observer, Percentile
from lilliput.quantize.repair.bias import CorrectBias, CorrectBiasFromStatistics
from lilliput.quantize.repair.equalize import EqualizeLayers
from lilliput.quantize.repair.migrate import MigrateScales
from lilliput.quantize.rounding.learn_rounding import LearnRounding
from lilliput.quantize.rounding.reconstruct_blocks import ReconstructBlocks
from lilliput.quantize.rounding.second_order import RoundSecondOrder
from lilliput.quantize.sharing.cluster import ClusterWeights, Palette, SharedWeight, palettes
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
    "QuantizeCoded",
    "QuantizeCodedAware",
    "QuantizeDynamic",
    "QuantizeMixed",
    "QuantizeStatic",
    "QuantizeWeights",
    "RamBytes",
    "RatePenalty",
    "ReconstructBlocks",
    "RoundSecondOrder",
    "SettleCoded",
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
