"""`lilliput inspect`: where a model's bytes, MACs, milliseconds and RAM are."""

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
    """Show where bytes, MACs, milliseconds and RAM are, and what could be done about each layer."""
    with answering(as_json) as answer:
        from lilliput.cli.layers import layers_table
        from lilliput.cli.model_file import load_model
        from lilliput.core.data import set_data_dir
        from lilliput.graph import peak_memory, trace
        from lilliput.report.numbers import bytes_text, count_text
        from lilliput.targets import get_target

        set_data_dir(data)
        place = get_target(target)
        model = load_model(model_file)
        graph = trace(model)
        memory = peak_memory(graph)
        layers = _layers(model, graph, place)
        totals = {
            "parameters": sum(layer["parameters"] for layer in layers),
            "weight_bytes": sum(layer["weight_bytes"] for layer in layers),
            "macs": sum(layer["macs"] for layer in layers),
            "peak_activation_bytes": memory.peak_bytes,
            "peak_at": memory.peak_at,
        }
        answer.give(
            {"target": place.name, "totals": totals, "layers": layers},
            layers_table(layers, answer.console().width),
            "",
            f"{count_text(totals['parameters'])} parameters, "
            f"{bytes_text(totals['weight_bytes'])} of weights, {count_text(totals['macs'])} MACs; "
            f"activations need at most {bytes_text(memory.peak_bytes)}, at {memory.peak_at}",
            "time: PyTorch eager, 1 thread, one example, median of 20 runs",
        )


def _layers(
    model: "lilliput.core.Model", graph: "lilliput.graph.Graph", target: "lilliput.core.Target"
) -> list[dict[str, Any]]:
    """Cost, time, live activations and advice of each layer."""
    from dataclasses import asdict

    from lilliput.cli.layer_times import layer_times
    from lilliput.graph import cost, peak_memory

    times = layer_times(model)
    live = dict(peak_memory(graph).live_bytes)
    rows = []
    for layer in cost(graph):
        extra = {"ms": times.get(layer.name), "live_bytes": live.get(layer.name)}
        rows.append({**asdict(layer), **extra})
    return rows
