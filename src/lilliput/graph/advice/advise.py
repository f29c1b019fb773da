"""All advice on a network."""

from lilliput.core import QuantizationRules
from lilliput.graph.advice.as_it_is import folds, notes, quantizations
from lilliput.graph.advice.blocks import removals
from lilliput.graph.advice.entry import Advice, whole_of
from lilliput.graph.advice.prunings import prunings
from lilliput.graph.advice.reshapes import reshapes
from lilliput.graph.graph import Graph

__all__ = ["advice"]


def advice(
    graph: Graph, rules: QuantizationRules | None = None, ratio: float = 0.5
) -> tuple[Advice, ...]:
    """Gives what could be done, in the order in which the layers run.

    Other layers in a layer's place, and blocks that go, are named where that saves 1 % of the
    whole network's bytes or MACs.

    Args:
        graph: The network.
        rules: What the target's runtime wants of quantizers; None for the default, int8 for each
            channel.
        ratio: Share of a group's channels that pruning would remove, 0 to 1.

    Raises:
        ValueError: The ratio is not between 0 and 1.
    """
    if not 0 < ratio < 1:
        raise ValueError(f"ratio must be between 0 and 1, got {ratio}")
    whole = whole_of(graph)
    found = [
        *notes(whole),
        *folds(graph, whole),
        *quantizations(graph, whole, rules or QuantizationRules()),
        *prunings(graph, whole, ratio),
        *reshapes(graph, whole),
    ]
    place = {row.name: index for index, row in enumerate(whole.rows)}
    in_order = sorted(found, key=lambda entry: place.get(entry.name, len(place)))
    return (*in_order, *removals(graph, whole))
