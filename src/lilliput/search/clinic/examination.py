"""All that is looked at in one quantized network: costs, signals, ranges, and its file."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor, fx

from lilliput.core import Artifact, Model, Task
from lilliput.export import tensor_parity
from lilliput.quantize.beside.signals import Signal, Spread, signals, weight_ranges
from lilliput.quantize.placing.sites import node_names, quantizer_at
from lilliput.search.clinic.culprits import Found, Suspect, suspects
from lilliput.search.clinic.diagnosis import Culprit

__all__ = ["examine", "worst_layers"]

_SIGNAL_SAMPLES = 16


def examine(
    model: Model, artifact: Artifact, task: Task, samples: int, only: Sequence[str] = ("*",)
) -> tuple[Found, tuple[Culprit, ...], tuple[Signal, ...]]:
    """Finds the culprits and what is to be seen at each.

    Args:
        model: With quantizers that act; it is not changed.
        artifact: The file made of it.
        task: Its validation data are looked at.
        samples: How many examples, of which the signals are seen on 16.
        only: Names of places, in which `*` stands for anything.

    Raises:
        UnsupportedError: No place has such a name; gives the nearest.
    """
    found = suspects(model, task, samples, only)
    batches = _batches(task)
    along = signals(model, batches)
    inside = tensor_parity(model, artifact, batches[0])
    by_name = {signal.name: signal for signal in along}
    ranges, read = weight_ranges(model), _read(model, by_name)
    culprits = []
    for suspect in found.suspects:
        name = suspect.site.name
        signal = by_name.get(name.removesuffix(" (result)"))
        seen = replace(
            _costs(suspect),
            decibels=signal.decibels if signal else None,
            weight_range=ranges.get(name),
            read=read.get(name),
            given=signal.values if signal else None,
            parity=inside.get(suspect.site.gives),
        )
        culprits.append(seen)
    return found, tuple(culprits), along


def worst_layers(model: Model, task: Task, samples: int) -> tuple[str, ...]:
    """Layers with a weight, the one first that alone quantized costs most."""
    found = suspects(model, task, samples, kinds=("alone",))
    return tuple(s.site.name for s in found.suspects if s.site.is_layer)


def _batches(task: Task) -> list[tuple[Tensor, ...]]:
    inputs, _ = task.first("validation", _SIGNAL_SAMPLES)[0]
    return [tuple(x[:_SIGNAL_SAMPLES] for x in inputs)]


def _read(model: Model, by_name: Mapping[str, Signal]) -> dict[str, Spread]:
    """The range of what each layer reads: of the last operator before it that is no quantizer."""
    module = model.module
    assert isinstance(module, fx.GraphModule)  # noqa: S101
    names = node_names(module)
    found = {}
    for node, name in names.items():
        source = node.all_input_nodes[0] if node.all_input_nodes else None
        while source is not None and quantizer_at(module, source) is not None:
            source = source.all_input_nodes[0]
        signal = by_name.get(names.get(source, "")) if source is not None else None
        if signal is not None:
            found[name] = signal.values
    return found


def _costs(suspect: Suspect) -> Culprit:
    """A culprit with what it costs."""
    site, effects = suspect.site, suspect.effects
    alone, restored = effects["alone"], effects["restored"]
    reads = effects.get("reads")
    weights = effects.get("weights", alone if site.is_layer else None)
    return Culprit(
        name=site.name,
        operator=site.operator,
        alone=alone.drop,
        alone_divergence=alone.divergence,
        recovered=restored.drop,
        recovered_divergence=restored.divergence,
        weights=weights.drop if weights else None,
        weights_divergence=weights.divergence if weights else None,
        reads=reads.drop if reads else None,
        reads_divergence=reads.divergence if reads else None,
    )
