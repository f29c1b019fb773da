"""Fewer attention heads: each goes whole, from its queries to its share of the output."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

from lilliput.core import Model, Note, Stage
from lilliput.graph import channel_groups, trace
from lilliput.prune.channels import PruneChannels, stops
from lilliput.prune.importance import Importance, Magnitude
from lilliput.prune.naming import named, ratios_by_group

__all__ = ["PruneHeads"]


@dataclass(frozen=True)
class PruneHeads:
    """Removes the least important heads of every attention; at least one stays.

    The heads of an attention are named after what makes its queries, such as
    `layers.0.query:parts`, for `PruneChannels` as well, which can thin what is left of them. Where
    several queries share a key, they go together.

    Source: Michel et al. 2019, "Are Sixteen Heads Really Better than One?", section 3.

    Args:
        ratio: Share of heads to remove, 0 to below 1: of every attention, or for each one named. A
            name counts before a pattern, such as `layers.0.*:parts`, and of patterns the last.
        importance: Ranks the heads.
        keep: Names or patterns of attentions to leave as they are.

    Raises:
        ValueError: A ratio is out of range, or a name or pattern fits no attention of the network.
    """

    ratio: float | Mapping[str, float] = 0.5
    importance: Importance = field(default_factory=Magnitude)
    keep: tuple[str, ...] = ()
    stage: ClassVar[Stage] = "prune"

    def __post_init__(self) -> None:
        PruneChannels(self.ratio, self.importance, keep=self.keep)  # refuses what is out of range

    def __call__(self, model: Model, /) -> Model:
        found = channel_groups(trace(model))
        heads = found.heads
        kept = named(self.keep, heads)
        if isinstance(self.ratio, Mapping):
            ratios = ratios_by_group(self.ratio, heads)
        else:
            ratios = {group.name: self.ratio for group in heads}
        if not heads:
            note = Note("no attention heads were found that could go", is_fallback=False)
            return replace(model, notes=(*model.notes, *stops(found), note))
        if not isinstance(self.ratio, Mapping):
            model = replace(model, notes=(*model.notes, *stops(found)))
        chosen = {name: ratio for name, ratio in ratios.items() if name not in kept}
        return PruneChannels(chosen, self.importance).prune(model, found)
