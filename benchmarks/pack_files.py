"""Finished files for `pack.py`: MLPerf Tiny's, and those of a ResNet-20 made smaller here.

Ours are in int8, or in floats that share 16 values.
"""

from pathlib import Path

from scoring import EXAMPLE, WORK

import lilliput as lp
from lilliput.core.data import data_dir

__all__ = ["FILES", "path_of"]

_GIVEN = ("ad01_int8", "kws_ref_model", "pretrainedResnet_quant", "vww_96_int8")
_MADE: dict[str, tuple[lp.Pass, ...]] = {
    "whole": (),
    "80 % zeros": (lp.PruneWeights(0.8),),
    "95 % zeros": (lp.PruneWeights(0.95),),
    "half the channels": (lp.PruneChannels(0.5),),
}
_CLUSTERED = "16 values"
_TARGETS = {"onnx": "onnxruntime-cpu", "tflite": "litert-cpu"}
FILES = (*_GIVEN, *(f"resnet20 {way}.{end}" for way in (*_MADE, _CLUSTERED) for end in _TARGETS))


def path_of(name: str) -> Path:
    """The file, made where it is not given."""
    if name in _GIVEN:
        return data_dir() / "mlperf-tiny" / f"{name}.tflite"
    way, _, end = name.removeprefix("resnet20 ").rpartition(".")
    target = lp.get_target(_TARGETS[end])
    model, task = EXAMPLE.resnet20()
    passes: list[lp.Pass] = [lp.ClusterWeights(16)]
    if way != _CLUSTERED:
        passes = [*_MADE[way], lp.QuantizeStatic(target.rules, task)]
    small = lp.run(model, passes)
    return lp.export(small, target, WORK / "pack_files" / way).path
