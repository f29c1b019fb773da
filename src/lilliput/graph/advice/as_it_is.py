"""Advice that leaves every layer its shape: where the cost is, what folds, what may be integers."""

import math
from collections.abc import Iterator

from lilliput.core import PerTensor, QuantizationRules
from lilliput.core.amounts import bytes_text
from lilliput.graph.advice.entry import Advice, Whole, percent_text
from lilliput.graph.fold import foldable
from lilliput.graph.graph import Graph

__all__ = ["folds", "notes", "quantizations"]

_WITH_WEIGHTS = frozenset({"conv1d", "conv2d", "conv_transpose2d", "linear"})
# a layer stands out with this share of the whole, this many times its share of the other quantity
_MUCH, _TIMES = 0.1, 5


def notes(whole: Whole) -> Iterator[Advice]:
    """Layers that stand out by their bytes or by their MACs."""
    for row in whole.rows:
        of_bytes = row.weight_bytes / whole.weight_bytes
        of_macs = row.macs / whole.macs
        shares = f"{percent_text(of_bytes)} of the bytes", f"{percent_text(of_macs)} of the MACs"
        if of_bytes >= max(_MUCH, _TIMES * of_macs):
            yield Advice(row.name, "note", 0, 0, f"{shares[0]}, {shares[1]}: here is size")
        elif of_macs >= max(_MUCH, _TIMES * of_bytes):
            yield Advice(row.name, "note", 0, 0, f"{shares[1]}, {shares[0]}: here is time")


def folds(graph: Graph, whole: Whole) -> Iterator[Advice]:
    """BatchNorms that the layer before can take up."""
    into = foldable(graph)
    for row in whole.rows:
        if row.name in into:
            less = f"an operator and {bytes_text(row.weight_bytes)} less"
            text = f"fold into {into[row.name]}: {less}"
            yield Advice(row.name, "fold", row.weight_bytes, 0, text)


def quantizations(graph: Graph, whole: Whole, rules: QuantizationRules) -> Iterator[Advice]:
    """Weights that could be integers."""
    weights = {name: p for name, p in graph.model.module.named_parameters() if p.dim() > 1}
    runs_in_integers = rules.quantized_operators or _WITH_WEIGHTS
    for row in whole.rows:
        weight = weights.get(f"{row.name}.weight", weights.get(f"{row.name}_weight"))
        if weight is None or row.operator not in _WITH_WEIGHTS & runs_in_integers:
            continue
        channels = weight.shape[1 if "transpose" in row.operator else 0]
        scales = 4 * (1 if rules.weight.granularity == PerTensor() else channels)
        stored = math.ceil(weight.numel() * rules.weight.bits / 8) + scales
        saved = min(row.weight_bytes, weight.numel() * weight.element_size()) - stored
        if saved > 0:
            kept = f"{bytes_text(saved)} of {bytes_text(row.weight_bytes)} less"
            yield Advice(row.name, "quantize", saved, 0, f"int{rules.weight.bits} weights: {kept}")
