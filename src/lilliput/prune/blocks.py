"""Removal of whole blocks: where a block keeps its input's shape, the input goes on in its place.

In deep residual networks a block refines what its shortcut carries, so one can go at a small cost;
and time on a device often falls with the number of layers rather than with their width.

Source: Veit et al. 2016, "Residual Networks Behave Like Ensembles of Relatively Shallow Networks".
"""

from dataclasses import dataclass
from typing import ClassVar

from lilliput.core import Model, PassError, Stage
from lilliput.core.settings import check_names
from lilliput.core.spelling import did_you_mean
from lilliput.graph.blocks import removable_blocks, shape_keepers

__all__ = ["RemoveBlocks", "removable_blocks"]


@dataclass(frozen=True)
class RemoveBlocks:
    """Replaces each named module by the identity.

    Args:
        names: Qualified names of modules that give a tensor of their input's shape, such as
            `layer1.3`; `removable_blocks` lists them.
    """

    names: tuple[str, ...]
    stage: ClassVar[Stage] = "prune"

    def __post_init__(self) -> None:
        check_names("names", self.names)
        object.__setattr__(self, "names", tuple(self.names))

    def __call__(self, model: Model, /) -> Model:
        """Gives the shallower model.

        Raises:
            PassError: A name is no module that keeps its input's shape.
        """
        known = shape_keepers(model)
        for name in self.names:
            if name not in known:
                hint = did_you_mean(name, known)
                raise PassError(f"{name!r} is no block that keeps its input's shape; {hint}")
            model.module.set_submodule(name, known[name])
        return model
