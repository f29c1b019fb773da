"""The smallest weights become zeros."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

from torch import nn

from lilliput.core import Model, Note, PassError, Stage
from lilliput.core.settings import check_kind, check_names
from lilliput.graph.masks import mask_of
from lilliput.prune.weights.allotment import AcrossLayers, Allotment
from lilliput.prune.weights.choose import choose, fitting, magnitudes, settled_sparsity
from lilliput.prune.weights.mask import prunable, set_mask
from lilliput.prune.weights.patterns import Pattern, Unstructured

__all__ = ["PruneWeights", "left_dense", "matrices_left_dense"]


@dataclass(frozen=True)
class PruneWeights:
    """Puts masks on linear layers and convolutions, false at their smallest weights.

    Training afterwards keeps the zeros. Applied again, zeros stay and more join them. Biases and
    norms stay dense, and every layer keeps at least one weight. A sparsity of 0 puts masks that
    zero nothing, for `GradualPruning` to change.

    Source: Han et al. 2015, "Learning both Weights and Connections", section 3.

    Args:
        sparsity: Share of their weights to zero, at least 0 and below 1; None for the pattern's
            own, and 0.5 where it has none.
        pattern: Which weights may go together.
        allotment: How many go where. One pattern, `NOfM`, leaves nothing to allot.
        skip: Names of layers to leave dense, or of modules with layers inside.

    Raises:
        ValueError: The sparsity is out of range, or the pattern fixes another.
    """

    stage: ClassVar[Stage] = "sparsify"

    sparsity: float | None = None
    pattern: Pattern = field(default_factory=Unstructured)
    allotment: Allotment = field(default_factory=AcrossLayers)
    skip: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_names("skip", self.skip)
        check_kind("pattern", self.pattern, Pattern, "NOfM(2, 4)")
        settled_sparsity(self.sparsity, self.pattern)
        check_kind("allotment", self.allotment, Allotment, "PerLayer()")
        object.__setattr__(self, "skip", tuple(self.skip))

    def __call__(self, model: Model, /) -> Model:
        """Gives the masked network.

        Raises:
            PassError: There is nothing to prune, or nothing of a name in `skip`.
        """
        every = prunable(model.module, self.skip)
        layers = fitting(every, self.pattern)
        if not layers:
            raise PassError(
                f"there is nothing to prune: no layer can have the pattern {self.pattern}"
            )
        before = {name: mask_of(layer) for name, layer in layers.items()}
        old = {name: mask.mask.clone() for name, mask in before.items() if mask is not None}
        scores = magnitudes(layers, goes_on=True)
        sparsity = settled_sparsity(self.sparsity, self.pattern)
        choose(model.module, scores, sparsity, self.pattern, self.allotment)
        for name, mask in old.items():
            new = mask_of(layers[name])
            assert new is not None  # noqa: S101  it had one before
            set_mask(model.module, name, new.mask & mask)
        return replace(
            model,
            notes=(
                *model.notes,
                *left_dense(every, layers, f"{self.pattern} does not divide them"),
                *matrices_left_dense(model.module),
            ),
        )


def matrices_left_dense(module: nn.Module) -> tuple[Note, ...]:
    """One note that names matrices that are no layer's weight, such as those of an LSTM."""
    names = [
        f"{name}.{key}" if name else key
        for name, part in module.named_modules()
        for key, weight in part.named_parameters(recurse=False)
        if isinstance(part, nn.RNNBase | nn.MultiheadAttention) and weight.dim() > 1
    ]
    if not names:
        return ()
    text = f"{len(names)} matrices stay dense, which are no layer's weight: {', '.join(names)}"
    return (Note(text),)


def left_dense(
    every: Mapping[str, nn.Module], pruned: Mapping[str, nn.Module], why: str
) -> tuple[Note, ...]:
    """One note that names the layers that stay dense, if there are any."""
    names = [name for name in every if name not in pruned]
    if not names:
        return ()
    return (Note(f"{len(names)} of {len(every)} layers stay dense ({why}): {', '.join(names)}"),)
