"""Which group gives how much, so that the network as a whole reaches a size."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from lilliput.graph import ChannelGroups, LayerCost

__all__ = ["CostOf", "allot", "bytes_of", "macs_of"]

CostOf = Callable[[Mapping[str, float]], float]
"""What the network costs when each group named loses that share of its units."""


def allot(
    sensitivity: Mapping[str, Mapping[float, float]],
    cost: CostOf,
    target: float,
    max_ratio: float = 0.9,
) -> dict[str, float]:
    """Chooses pruning ratios that reach a share of the cost at the least summed drop.

    Greedy: of all groups and levels, the step whose drop is least for what it saves is taken, again
    and again, until the target is reached; then what turned out unneeded is given back. A step may
    skip levels, so a bad first level does not hide a good second one. Measured drops are taken as
    never falling with the level and never below 0, since smaller ones are noise.

    Args:
        sensitivity: For each group and level (the share of its units removed), the measured drop.
        cost: The cost for given ratios, as `macs_of` and `bytes_of` give it.
        target: Share of the unpruned network's cost to reach, 0 to 1.
        max_ratio: Levels above it are not used.

    Returns:
        For each group that is pruned, its ratio. Where even the highest levels do not reach the
        target, those.

    Raises:
        ValueError: `target` is not between 0 and 1.
    """
    if not 0 < target <= 1:
        raise ValueError(f"target must be above 0 and at most 1, got {target}")
    drops = {name: _rising(levels, max_ratio) for name, levels in sensitivity.items()}
    chosen: dict[str, float] = {}
    base = now = cost({})
    while now > target * base:
        best, least = None, float("inf")
        for name, levels in drops.items():
            before = levels.get(chosen.get(name, 0.0), 0.0)
            for level, drop in levels.items():
                saved = now - cost({**chosen, name: level})
                if level > chosen.get(name, 0.0) and saved > 0:
                    # a free step still costs a little, so that the larger of two is taken
                    rise = (drop - before + 1e-6) / saved
                    if rise < least:
                        best, least = (name, level), rise
        if best is None:
            break
        chosen[best[0]] = best[1]
        now = cost(chosen)
    return _given_back(chosen, drops, cost, max(now, target * base))


def _given_back(
    chosen: dict[str, float], drops: Mapping[str, Mapping[float, float]], cost: CostOf, limit: float
) -> dict[str, float]:
    """Undoes what later steps made unnecessary, the dearest first."""
    for name in sorted(chosen, key=lambda n: -drops[n][chosen[n]]):
        for level in (0.0, *sorted(drops[name])):
            if level < chosen[name] and cost({**chosen, name: level}) <= limit:
                chosen[name] = level
    return {name: level for name, level in chosen.items() if level}


def _rising(levels: Mapping[float, float], max_ratio: float) -> dict[float, float]:
    rising: dict[float, float] = {}
    worst = 0.0
    for level in sorted(level for level in levels if 0 < level <= max_ratio):
        worst = max(worst, levels[level])
        rising[level] = worst
    return rising


def macs_of(found: ChannelGroups, costs: Sequence[LayerCost]) -> CostOf:
    """Gives MACs for pruning ratios without pruning.

    Args:
        found: The network's groups.
        costs: What `lilliput.graph.cost` gives for the same graph.
    """
    layers: dict[str, float] = defaultdict(float)
    for row in costs:  # a shared layer has several rows
        layers[f"{row.name.partition('@')[0]}.weight"] += row.macs
    return _products(found, layers, float(sum(row.macs for row in costs)))


def bytes_of(found: ChannelGroups) -> CostOf:
    """Gives the bytes of the parameters, as they are stored now, for pruning ratios.

    Args:
        found: The network's groups.
    """
    tensors = {
        name: float(tensor.numel() * tensor.element_size())
        for name, tensor in found.graph.model.module.named_parameters()
    }
    return _products(found, tensors, sum(tensors.values()))


def _products(found: ChannelGroups, amounts: Mapping[str, float], total: float) -> CostOf:
    """What lies in a tensor goes with the product of its axes' lengths.

    Heads and the widths within them lie on the same axis, whose length is their product.
    """
    shapes = {name: tensor.shape for name, tensor in found.graph.model.module.named_parameters()}
    lying: dict[str, dict[tuple[int, str], dict[str, float]]] = {}
    for group in found:
        for tensor, axis in group.axes:
            if tensor in amounts and tensor in shapes:
                number = sum(s.tensor == tensor and s.axis == axis for s in group.units[0])
                share = number * group.size / shapes[tensor][axis]
                lying.setdefault(tensor, {}).setdefault((axis, group.kind), {})[group.name] = share

    def amount(ratios: Mapping[str, float]) -> float:
        lost = 0.0
        for tensor, axes in lying.items():
            left = 1.0
            for shares in axes.values():
                left *= 1 - sum(share * ratios.get(name, 0.0) for name, share in shares.items())
            lost += amounts[tensor] * (1 - left)
        return total - lost

    return amount
