"""Strides that come later, or turn into dilation, so that maps stay large for longer.

Sources: Iandola et al. 2016, "SqueezeNet", section 3.1, strategy 3, for late downsampling; Chen et
al. 2017, "Rethinking Atrous Convolution for Semantic Image Segmentation", section 3.1.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import fx, nn

from lilliput.core import Model, PassError, Stage
from lilliput.core.settings import check_names
from lilliput.core.spelling import did_you_mean
from lilliput.edit.changes import changed
from lilliput.edit.fits import checked
from lilliput.edit.rates import follow_rates
from lilliput.graph import Graph, operator_of, owner_of, trace

__all__ = ["DilateInstead", "MoveStride"]

_WINDOWED = ("conv2d", "max_pool2d", "avg_pool2d")


@dataclass(frozen=True)
class DilateInstead:
    """Takes the stride out of convolutions, and dilates all that follows, weights unchanged.

    At the positions it had before, every map is the same, and there are more between. It suits
    networks that end in pooling over the whole map, whose output then is the mean of more
    positions. A shortcut that takes every second position beside a named convolution takes all.

    Args:
        layers: Names of strided convolutions, among them those of shortcuts that run beside.
    """

    layers: tuple[str, ...]
    stage: ClassVar[Stage] = "edit"

    def __post_init__(self) -> None:
        check_names("layers", self.layers)
        if not self.layers:
            raise ValueError("layers must name a strided convolution or more, got none")

    def __call__(self, model: Model, /) -> Model:
        """Gives the model with larger maps.

        Raises:
            PassError: A name is no strided convolution, or maps of two sizes would meet.
            UnsupportedError: Something on the way cannot work on a larger map.
            TraceError: The network cannot be traced.
        """
        graph = trace(model)
        _check_strided(graph, self.layers)
        found = follow_rates(graph, frozenset(self.layers))
        return checked(changed(graph, found.changes))


@dataclass(frozen=True)
class MoveStride:
    """Moves the stride of a convolution to a convolution or pool after it.

    What lies between works on the larger map, with weights as they are; a kernel above 1 then sees
    a smaller part of the image, so train afterwards.

    Args:
        layer: Name of a strided convolution.
        to: Name of the layer that takes the stride over; every way from `layer` leads through it.
    """

    layer: str
    to: str
    stage: ClassVar[Stage] = "edit"

    def __call__(self, model: Model, /) -> Model:
        """Gives the model that shrinks its maps later.

        Raises:
            PassError: A name is no such layer, or not every way leads through `to`.
            UnsupportedError: Something on the way cannot work on a larger map.
            TraceError: The network cannot be traced.
        """
        graph = trace(model)
        _check_strided(graph, (self.layer,))
        windowed = {owner_of(n): n for n in graph.nodes if operator_of(n) in _WINDOWED}
        if self.to not in windowed or self.to == self.layer:
            others = [name for name in windowed if name and name != self.layer]
            raise PassError(
                f"{self.to!r} is no other convolution or pool; {did_you_mean(self.to, others)}"
            )
        if not _reads(windowed[self.to], windowed[self.layer]):
            raise PassError(f"{self.to!r} does not read what {self.layer!r} gives")
        found = follow_rates(graph, frozenset({self.layer}), self.to)
        return checked(changed(graph, found.changes))


def _reads(node: fx.Node, source: fx.Node) -> bool:
    """Whether what a call gives depends on another."""
    seen, left = {node}, [node]
    while left:
        fresh = set(left.pop().all_input_nodes) - seen
        seen |= fresh
        left += fresh
    return source in seen


def _check_strided(graph: Graph, names: tuple[str, ...]) -> None:
    layers = dict(graph.model.module.named_modules())
    strided = [
        name
        for name in dict.fromkeys(owner_of(n) for n in graph.nodes if operator_of(n) == "conv2d")
        if isinstance(layer := layers.get(name), nn.Conv2d)
        and max(layer.stride) > 1
        and layer.padding_mode == "zeros"
    ]
    for name in names:
        if name not in strided:
            raise PassError(f"{name!r} is no strided convolution; {did_you_mean(name, strided)}")
