"""Which layer gets which rank, so that all together meet a budget."""

import itertools
from collections.abc import Mapping, Sequence

from lilliput.edit.factors.kind import Choice

__all__ = ["allot_ranks"]


def allot_ranks(
    wholes: Mapping[str, int], choices: Mapping[str, Sequence[Choice]], target: float
) -> dict[str, Choice]:
    """Chooses a form for each layer that meets the budget at the least summed loss.

    Greedy: the steps along each layer's convex hull are taken from the one that loses least for
    what it saves, until the target is met; then the steps that went too far are shortened.

    Args:
        wholes: Multiplications of each layer as it is.
        choices: What each may become.
        target: Multiplications of all, to be met if the lowest choices can.

    Returns:
        A choice for each layer; one without ranks leaves it as it is.

    Source: Sinha and Zoltners 1979, "The Multiple-Choice Knapsack Problem".
    """
    forms = {name: [Choice((), wholes[name], 0.0), *choices.get(name, ())] for name in wholes}
    hulls = {name: _hull(found) for name, found in forms.items()}
    steps = [
        ((below.lost - above.lost) / (above.macs - below.macs), name, place)
        for name, hull in hulls.items()
        for place, (above, below) in enumerate(itertools.pairwise(hull), 1)
    ]
    chosen = {name: hull[0] for name, hull in hulls.items()}
    total = sum(choice.macs for choice in chosen.values())
    taken: list[str] = []
    for _, name, place in sorted(steps):
        if total <= target:
            break
        total += hulls[name][place].macs - chosen[name].macs
        chosen[name] = hulls[name][place]
        taken.append(name)
    for name in dict.fromkeys(reversed(taken)):
        room = chosen[name].macs + target - total
        fits = [choice for choice in forms[name] if choice.macs <= max(room, chosen[name].macs)]
        best = min(fits, key=lambda choice: (choice.lost, choice.macs))
        total += best.macs - chosen[name].macs
        chosen[name] = best
    return chosen


def _hull(choices: Sequence[Choice]) -> list[Choice]:
    """From the dearest that loses nothing down, those under no line between two others."""
    hull: list[Choice] = []
    for choice in sorted(choices, key=lambda c: (c.lost, c.macs)):
        if hull and choice.macs >= hull[-1].macs:
            continue
        while len(hull) > 1 and _slope(hull[-2], hull[-1]) >= _slope(hull[-2], choice):
            hull.pop()
        hull.append(choice)
    return hull


def _slope(above: Choice, below: Choice) -> float:
    return (below.lost - above.lost) / (above.macs - below.macs)
