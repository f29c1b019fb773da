"""Fewer words: rows of an embedding that the data never asks for are most of many small networks.

The network goes on to take the old ids, so that no tokenizer changes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lilliput.core import Model, PassError, Stage, Task
from lilliput.core.modes import in_eval_mode
from lilliput.core.spelling import did_you_mean
from lilliput.graph import operator_of, owner_of, trace

__all__ = ["PruneVocabulary", "RemappedEmbedding"]


class RemappedEmbedding(nn.Module):
    """An embedding of fewer rows than there are ids; a table says which row each id has.

    What a network's code may ask of `nn.Embedding` it answers as the one before did.

    Args:
        rows: The rows that are left.
        table: For each id, its row.
        padding_idx: The id of the padding; None where there is none.
    """

    table: Tensor

    def __init__(
        self, rows: nn.Embedding, table: Int[Tensor, " ids"], padding_idx: int | None = None
    ) -> None:
        super().__init__()
        self.rows, self.padding_idx = rows, padding_idx
        self.register_buffer("table", table.to(torch.int32))

    @property
    def num_embeddings(self) -> int:
        """How many ids there are; the rows are fewer."""
        return len(self.table)

    @property
    def embedding_dim(self) -> int:
        """Features of a row."""
        return self.rows.embedding_dim

    def forward(self, ids: Int[Tensor, "..."]) -> Float[Tensor, "... features"]:
        """Gives a row for each id."""
        return self.rows(self.table[ids])  # type: ignore[no-any-return]


_Layer = nn.Embedding | RemappedEmbedding


@dataclass(frozen=True)
class PruneVocabulary:
    """Removes the rows of an embedding that are not asked for.

    Args:
        unknown: The id whose row stands for the ids that go, such as that of `[UNK]`; it stays.
        task: Says which ids stay, where `keep` does not: those that occur in its training split.
        keep: Ids that stay, and no others than these, `unknown` and the padding.
        layer: Name of the embedding; "" for the one with most rows.

    Raises:
        ValueError: There is neither a task nor a list of ids, or an id is negative.
    """

    unknown: int
    task: Task | None = None
    keep: tuple[int, ...] | None = None
    layer: str = ""
    stage: ClassVar[Stage] = "prune"

    def __post_init__(self) -> None:
        if self.task is None and self.keep is None:
            raise ValueError("which ids stay? pass a task to look for them, or keep=(...)")
        low = min((self.unknown, *(self.keep or ())))
        if low < 0:
            raise ValueError(f"ids must be 0 or more, got {low}")

    def __call__(self, model: Model, /) -> Model:
        """Gives the model with the smaller embedding.

        Raises:
            PassError: There is no such embedding, an id is beyond its rows, it is not what the
                task's inputs reach, or its weight has another use.
        """
        name, layer = self._embedding(model)
        _refuse_other_uses(model, name, layer)
        table, old = _parts(layer)
        kept = self._kept(model, name, layer)
        ids = torch.tensor(sorted(kept | {self.unknown}))
        if int(ids[-1]) >= len(table):
            raise PassError(f"{name!r} has ids 0 to {len(table) - 1}, got {int(ids[-1])}")
        wanted = table[ids]
        if old.padding_idx is not None:
            wanted = torch.cat([wanted, torch.tensor([old.padding_idx])])
        rows = wanted.unique()  # sorted
        places = torch.full((old.num_embeddings,), -1)
        places[rows] = torch.arange(len(rows))
        new = places[table]
        new[new < 0] = places[table[self.unknown]]
        small = RemappedEmbedding(_smaller(old, rows), new, layer.padding_idx)
        for alias in _names(model.module, layer):
            model.module.set_submodule(alias, small)
        return model

    def _embedding(self, model: Model) -> tuple[str, _Layer]:
        found = dict(_embeddings(model.module))
        if not found:
            raise PassError("the network has no nn.Embedding whose rows could go")
        most = max(found, key=lambda name: len(_parts(found[name])[0]))
        name = self.layer or most
        if name not in found:
            raise PassError(f"no embedding is called {name!r}; {did_you_mean(name, found)}")
        return name, found[name]

    def _kept(self, model: Model, name: str, layer: _Layer) -> set[int]:
        if self.keep is not None or self.task is None:
            return set(self.keep or ())
        seen = _seen(model.module, layer, self.task)
        if not seen:
            raise PassError(f"no training input of task {self.task.name!r} reaches {name!r}")
        return seen


def _embeddings(module: nn.Module) -> Iterator[tuple[str, _Layer]]:
    """Embeddings, and those that were made smaller before, by name."""
    inner = {id(m.rows) for m in module.modules() if isinstance(m, RemappedEmbedding)}
    for name, part in module.named_modules():
        if isinstance(part, nn.Embedding | RemappedEmbedding) and id(part) not in inner:
            yield name, part


def _parts(layer: _Layer) -> tuple[Int[Tensor, " ids"], nn.Embedding]:
    """The row of each id, and the rows."""
    match layer:
        case RemappedEmbedding():
            return layer.table.long().cpu(), layer.rows
        case nn.Embedding():
            return torch.arange(layer.num_embeddings), layer


def _names(module: nn.Module, layer: nn.Module) -> list[str]:
    """All names of a layer that a network may have in several places."""
    every = module.named_modules(remove_duplicate=False)
    return [name for name, part in every if part is layer]


def _refuse_other_uses(model: Model, name: str, layer: _Layer) -> None:
    """Rows that something else needs, such as an output layer that shares them, cannot go."""
    rows = _parts(layer)[1]
    own, weight = _names(model.module, rows), rows.weight
    graph = trace(model)
    tensors = dict(model.module.named_parameters(remove_duplicate=False))
    aliases = {n for n, tensor in tensors.items() if tensor is weight}
    uses = [
        (operator_of(node), owner_of(node))
        for placeholder in graph.program.graph.find_nodes(op="placeholder")
        if graph.tensor_names.get(placeholder.name) in aliases
        for node in placeholder.users
    ]
    others = [(what, where) for what, where in uses if what != "embedding" or where not in own]
    if others:
        what, where = others[0]
        lack = "take fewer ids" if what == "embedding" else "give fewer outputs"
        raise PassError(
            f"the rows of {name!r} are also the weight of {what} in {where!r}, which would {lack} "
            "without them; untie the two to shrink the embedding alone"
        )


def _seen(module: nn.Module, layer: _Layer, task: Task) -> set[int]:
    """Ids that reach the embedding; where they are an input of the network, it need not run."""
    reached: list[Tensor] = []
    seen: set[int] = set()
    place: int | None = None

    def look(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        reached.append(inputs[0])

    handle = layer.register_forward_pre_hook(look)
    try:
        with in_eval_mode(module), torch.no_grad():
            for inputs, _ in task.batches("train"):
                if place is None:
                    module(*inputs)
                    same = [k for k, x in enumerate(inputs) for ids in reached if x is ids]
                    place = same[0] if len(same) == len(reached) == 1 else None
                else:
                    reached.append(inputs[place])
                seen.update(i for ids in reached for i in ids.unique().tolist())
                reached.clear()
    finally:
        handle.remove()
    return seen


def _smaller(old: nn.Embedding, rows: Int[Tensor, " rows"]) -> nn.Embedding:
    padding = old.padding_idx
    small = nn.Embedding(
        len(rows),
        old.embedding_dim,
        None if padding is None else rows.tolist().index(padding),
        old.max_norm,
        old.norm_type,
        old.scale_grad_by_freq,
        old.sparse,
        _weight=old.weight.detach()[rows].clone(),
    )
    small.weight.requires_grad_(old.weight.requires_grad)
    return small.train(old.training)
