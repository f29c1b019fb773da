"""`lilliput inspect`: where a model's bytes, MACs, milliseconds and RAM are."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lilliput.cli.options import Data, Json, ModelFile
from lilliput.cli.output import answering

if TYPE_CHECKING:
    import lilliput.core
    import lilliput.graph

__all__ = ["inspect"]


def inspect(
    model_file: ModelFile,
    target: Annotated[
        str, typer.Option("--target", "-t", metavar="NAME", help="What the advice is for.")
    ] = "onnxruntime-cpu",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show where bytes, MACs, milliseconds and RAM are, and what could be done about each layer.

    Of a packed file (FILE.lil), show the bits per weight of each tensor; of an update, what it
    changes.
    """
    with answering(as_json) as answer:
        if model_file.endswith(".lil"):
            from lilliput.cli.packed import inspect_packed
            from lilliput.cli.updates import inspect_update
            from lilliput.pack.updates import is_update

            path = Path(model_file)
            (inspect_update if is_update(path) else inspect_packed)(path, answer)
            return
        from dataclasses import asdict

        from lilliput.cli.layers import layers_table
        from lilliput.cli.model_file import load_model
        from lilliput.cli.reshapings import is_reshaping, reshaping_lines
        from lilliput.core.data import set_data_dir
        from lilliput.graph import advice, peak_memory, trace
        from lilliput.measure.layer_times import eager_times
        from lilliput.targets import get_target

        set_data_dir(data)
        place = get_target(target)
        model = load_model(model_file)
        graph = trace(model)
        memory = peak_memory(graph)
        found = advice(graph, place.rules)
        times = eager_times(model)
        of_layers = tuple(entry for entry in found if not is_reshaping(entry))
        layers = _layers(graph, times.layers_ms, memory, of_layers)
        totals = {
            "parameters": sum(layer["parameters"] for layer in layers),
            "weight_bytes": sum(layer["weight_bytes"] for layer in layers),
            "macs": sum(layer["macs"] for layer in layers),
            "ms": times.network_ms,
            "layers_ms": sum(layer["ms"] or 0 for layer in layers),
            "peak_activation_bytes": memory.peak_bytes,
            "peak_at": memory.peak_at,
        }
        rows = [asdict(entry) for entry in found]
        named = {layer["name"] for layer in layers}
        answer.give(
            {"target": place.name, "totals": totals, "layers": layers, "advice": rows},
            layers_table(layers, answer.console().width, times.network_ms),
            "",
            *(f"{entry.name}: {entry.text}" for entry in of_layers if entry.name not in named),
            *reshaping_lines(found),
            _in_words(totals),
            _time_in_words(totals),
        )


def _in_words(totals: dict[str, Any]) -> str:
    from lilliput.core.amounts import bytes_text
    from lilliput.report.numbers import count_text

    numbers = {name: float(value) for name, value in totals.items() if name != "peak_at"}
    return (
        f"{count_text(numbers['parameters'])} parameters, "
        f"{bytes_text(numbers['weight_bytes'])} of weights, "
        f"{count_text(numbers['macs'])} MACs; activations need at most "
        f"{bytes_text(numbers['peak_activation_bytes'])}, at {totals['peak_at']}"
    )


def _time_in_words(totals: dict[str, Any]) -> str:
    """What the times are of, and how much of the network's the rows tell."""
    from lilliput.report.numbers import ms_text

    return (
        "time: PyTorch eager, 1 thread, one example, median of 20 runs; of the network's "
        f"{ms_text(totals['ms'])} the layers with a time explain "
        f"{100 * totals['layers_ms'] / totals['ms']:.0f} %"
    )


def _layers(
    graph: "lilliput.graph.Graph",
    times: dict[str, float],
    memory: "lilliput.graph.MemoryProfile",
    advice: "tuple[lilliput.graph.Advice, ...]",
) -> list[dict[str, Any]]:
    """Cost, time, live activations and advice of each layer."""
    from dataclasses import asdict

    from lilliput.graph import cost

    live: dict[str, int] = {}
    for name, size in memory.live_bytes:
        live[name] = max(size, live.get(name, 0))
    return [
        {
            **asdict(layer),
            "ms": times.get(layer.name),
            "live_bytes": live.get(layer.name),
            "advice": [entry.text for entry in advice if entry.name == layer.name],
        }
        for layer in cost(graph)
    ]
