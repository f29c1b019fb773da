"""Lilliput makes neural networks small, and proves it on the file that ships.

Names load when they are first used (PEP 562), so that `import lilliput` stays quick.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lilliput.compare import Comparison, compare
    from lilliput.compress import compress
    from lilliput.core import (
        Accuracy,
        Artifact,
        Budget,
        LilliputError,
        Measurement,
        Model,
        Pass,
        QuantizationRules,
        Target,
        Task,
        run,
    )
    from lilliput.core.data import data_dir
    from lilliput.diagnose import Diagnosis, diagnose
    from lilliput.edit import FuseBatchNorm
    from lilliput.export import export, load, parity
    from lilliput.graph import (
        channel_groups,
        cost,
        fold_batch_norm,
        peak_memory,
        sensitivity,
        trace,
    )
    from lilliput.measure import Reference, measure
    from lilliput.prune import BatchNormScale, Magnitude, PruneChannels, Taylor
    from lilliput.quantize import (
        AverageBits,
        ClusterWeights,
        ConvertFloat,
        CorrectBias,
        CorrectBiasFromStatistics,
        Entropy,
        EqualizeLayers,
        LayerCosts,
        LearnRanges,
        LearnRounding,
        LowerBits,
        MeanSquaredError,
        MigrateScales,
        MinMax,
        Percentile,
        PerChannel,
        PerGroup,
        PerTensor,
        Precision,
        QuantizeAware,
        QuantizeDynamic,
        QuantizeMixed,
        QuantizeStatic,
        QuantizeWeights,
        RamBytes,
        ReconstructBlocks,
        RoundSecondOrder,
        WeightBytes,
        allot_bits,
        bit_sensitivity,
        bits_front,
        estimate_bit_sensitivity,
        palettes,
    )
    from lilliput.registry import Family, Store, Variant
    from lilliput.report import report
    from lilliput.simulate import simulate
    from lilliput.targets import get_target, target_names
    from lilliput.train import Distill, FineTune, MeanSquaredErrorMatch, SoftTargets

__version__ = "0.1.0"

_HOMES = {
    "lilliput.compare": ("Comparison", "compare"),
    "lilliput.compress": ("compress",),
    "lilliput.core": (
        "Accuracy",
        "Artifact",
        "Budget",
        "LilliputError",
        "Measurement",
        "Model",
        "Pass",
        "QuantizationRules",
        "Target",
        "Task",
        "run",
    ),
    "lilliput.core.data": ("data_dir",),
    "lilliput.diagnose": ("Diagnosis", "diagnose"),
    "lilliput.edit": ("FuseBatchNorm",),
    "lilliput.export": ("export", "load", "parity"),
    "lilliput.graph": (
        "channel_groups",
        "cost",
        "fold_batch_norm",
        "peak_memory",
        "sensitivity",
        "trace",
    ),
    "lilliput.measure": ("Reference", "measure"),
    "lilliput.prune": ("BatchNormScale", "Magnitude", "PruneChannels", "Taylor"),
    "lilliput.quantize": (
        "AverageBits",
        "ClusterWeights",
        "ConvertFloat",
        "Entropy",
        "LearnRanges",
        "LowerBits",
        "LayerCosts",
        "LearnRounding",
        "CorrectBias",
        "CorrectBiasFromStatistics",
        "Entropy",
        "EqualizeLayers",
        "MeanSquaredError",
        "MigrateScales",
        "MinMax",
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
        "RamBytes",
        "ReconstructBlocks",
        "RoundSecondOrder",
        "WeightBytes",
        "allot_bits",
        "bit_sensitivity",
        "bits_front",
        "estimate_bit_sensitivity",
        "palettes",
    ),
    "lilliput.registry": ("Family", "Store", "Variant"),
    "lilliput.report": ("report",),
    "lilliput.simulate": ("simulate",),
    "lilliput.targets": ("get_target", "target_names"),
    "lilliput.train": ("Distill", "FineTune", "MeanSquaredErrorMatch", "SoftTargets"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Accuracy",
    "Artifact",
    "AverageBits",
    "BatchNormScale",
    "Budget",
    "ClusterWeights",
    "Comparison",
    "ConvertFloat",
    "CorrectBias",
    "CorrectBiasFromStatistics",
    "Diagnosis",
    "Distill",
    "Entropy",
    "EqualizeLayers",
    "Family",
    "FineTune",
    "FuseBatchNorm",
    "LayerCosts",
    "LearnRanges",
    "LearnRounding",
    "LilliputError",
    "LowerBits",
    "Magnitude",
    "MeanSquaredError",
    "MeanSquaredErrorMatch",
    "Measurement",
    "MigrateScales",
    "MinMax",
    "Model",
    "Pass",
    "PerChannel",
    "PerGroup",
    "PerTensor",
    "Percentile",
    "Precision",
    "PruneChannels",
    "QuantizationRules",
    "QuantizeAware",
    "QuantizeDynamic",
    "QuantizeMixed",
    "QuantizeStatic",
    "QuantizeWeights",
    "RamBytes",
    "ReconstructBlocks",
    "Reference",
    "RoundSecondOrder",
    "SoftTargets",
    "Store",
    "Target",
    "Task",
    "Taylor",
    "Variant",
    "WeightBytes",
    "allot_bits",
    "bit_sensitivity",
    "bits_front",
    "channel_groups",
    "compare",
    "compress",
    "cost",
    "data_dir",
    "diagnose",
    "estimate_bit_sensitivity",
    "export",
    "fold_batch_norm",
    "get_target",
    "load",
    "measure",
    "palettes",
    "parity",
    "peak_memory",
    "report",
    "run",
    "sensitivity",
    "simulate",
    "target_names",
    "trace",
]


class _Package(ModuleType):
    """Lets a verb and its room share a name: `lilliput.export` is the function.

    Python binds an imported submodule to its parent, which would hide the function of that name.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOME_OF and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'lilliput' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
