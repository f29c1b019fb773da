"""Ranges evened out between layers, so that one scale for a whole weight wastes no codes."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, fx

from lilliput.core import Model, Stage, Task
from lilliput.graph import capture, fold_batch_norm
from lilliput.quantize.repair.absorb import absorb_bias, can_absorb
from lilliput.quantize.repair.channel_paths import ChannelPath, clip_limits, paths_from, start_of
from lilliput.quantize.repair.channel_ranges import channel_ranges
from lilliput.quantize.repair.scalable import ScalableLayer, scalable_layers

__all__ = ["EqualizeLayers"]

_SWEEPS = 200
_SETTLED = 1e-3
_CONSTANT = 1e-3

_Pair = tuple[ScalableLayer, ChannelPath]


@dataclass(frozen=True)
class EqualizeLayers:
    """Moves scales between neighbouring layers until their channels have like ranges.

    Where one layer alone reads another, through ReLU, pooling or whatever else lets a positive
    factor of a channel pass, the first may give a channel divided by any number if the second
    multiplies it back. The number is chosen so that both have the same largest weight for the
    channel; chains are gone through until nothing changes. The network computes what it did.
    BatchNorm is folded first. A clip such as ReLU6 between two layers lets no factor pass.

    Args:
        task: Its training inputs are looked at, without labels, for the two settings that follow.
        samples: How many examples.
        removes_clips: Whether clips between layers go where none of the examples reaches them.
        absorbs_biases: Whether what a channel gives at least goes on to the next layer's bias:
            three deviations below the mean of a folded BatchNorm, or the least that is seen.

    Source: Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias
    Correction", eq. 7 to 11, and section 4.1.3.
    """

    stage: ClassVar[Stage] = "edit"

    task: Task | None = None
    samples: int = 512
    removes_clips: bool = False
    absorbs_biases: bool = False

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ValueError(f"samples must be 1 or more, got {self.samples}")
        if self.task is None and (self.removes_clips or self.absorbs_biases):
            raise ValueError(
                "removes_clips and absorbs_biases need examples, got no task; "
                "pass EqualizeLayers(task, ...)"
            )

    def __call__(self, model: Model, /) -> Model:
        """Gives a captured network with other weights; layers that cannot be evened out stay.

        Raises:
            TraceError: The network cannot be traced.
            PassError: An example makes an activation NaN or infinite.
        """
        folded, _ = fold_batch_norm(model)
        captured = capture(folded, keeps_masks=False)
        module = captured.module
        assert isinstance(module, fx.GraphModule)  # noqa: S101
        if self.task is not None and self.removes_clips:
            _remove_idle_clips(module, self.task.calibration(self.samples))
        pairs = [pair for pair in _pairs(module) if not pair[1].clips]
        for _ in range(_SWEEPS):
            if max((_equalize(*pair) for pair in pairs), default=0.0) < _SETTLED:
                break
        if self.task is not None and self.absorbs_biases:
            _absorb(module, pairs, self.task, self.samples)
        return captured


def _pairs(module: fx.GraphModule) -> list[_Pair]:
    """Layers that one other layer alone reads, each with the way there."""
    layers = scalable_layers(module)
    found = []
    for layer in layers.values():
        paths = paths_from(module, layers, start_of(layer))
        if paths is not None and len(paths) == 1:
            found.append((layer, paths[0]))
    return found


def _remove_idle_clips(module: fx.GraphModule, batches: Iterable[tuple[Tensor, ...]]) -> None:
    """Takes out the clips between pairs that act on none of the examples, or leaves their ReLU."""
    clips = list(dict.fromkeys(clip for _, path in _pairs(module) for clip in path.clips))
    if not clips:
        return
    ranges = channel_ranges(
        module, dict.fromkeys(clip.all_input_nodes[0] for clip in clips), batches
    )
    for clip in clips:
        source, limits = clip.all_input_nodes[0], clip_limits(module, clip)
        assert limits is not None  # noqa: S101  a path's clips have limits
        low, high = float(ranges[source].low), float(ranges[source].high)
        if high > limits[1] or (low < limits[0] and limits[0] != 0):
            continue
        with module.graph.inserting_before(clip):
            relu = module.graph.call_function(torch.ops.aten.relu.default, (source,))
        relu.meta = dict(clip.meta)
        clip.replace_all_uses_with(relu if low < limits[0] else source)
    module.graph.eliminate_dead_code()
    module.recompile()


def _absorb(module: fx.GraphModule, pairs: list[_Pair], task: Task, samples: int) -> None:
    pairs = [pair for pair in pairs if can_absorb(*pair)]
    axes = {layer.node: start_of(layer).axis for layer, _ in pairs}
    # what a layer takes up makes up for what the one before it gave away: its outputs stay
    seen = channel_ranges(module, axes, task.calibration(samples)) if axes else {}
    for layer, path in pairs:
        absorb_bias(layer, path, seen[layer.node].low)


def _equalize(layer: ScalableLayer, path: ChannelPath) -> float:
    """Gives each channel the same range in both layers.

    Returns:
        The largest factor, as the absolute of its logarithm.
    """
    assert path.reader is not None  # noqa: S101
    first, second = layer.output_ranges(), path.reader.input_ranges(path.repeat)
    # a channel that is zero in one of them may be scaled by anything: it stays
    is_used = (first > 0) & (second > 0)
    if layer.statistics is not None:
        # one that hardly varies has small weights, but scaled up its bias would be all there is
        mean, deviation = layer.statistics
        is_used &= deviation > _CONSTANT * mean.abs()
    factors = torch.where(is_used, (second / first).sqrt(), 1.0)
    layer.scale_outputs(factors)
    path.reader.scale_inputs(1 / factors, path.repeat)
    return float(factors.log().abs().amax())
