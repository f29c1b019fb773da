"""A table of layers: bytes, MACs, their shares, time."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from lilliput.cli.tables import Column, fitted
from lilliput.core.amounts import bytes_text
from lilliput.report.numbers import count_text, ms_text

__all__ = ["layers_table"]


def layers_table(layers: Sequence[Mapping[str, Any]], width: int, network_ms: float = 0.0) -> Table:
    """One row for each layer that weighs, computes or takes time, and one for the whole network.

    Args:
        layers: Fields of `LayerCost`; also `ms` and `advice` where known.
        width: Characters there are.
        network_ms: How long the whole network takes, which is more than its layers; 0 where
            unknown.
    """
    rows = [x for x in layers if any(x.get(name) for name in ("weight_bytes", "macs", "ms"))]
    sums = {name: sum(x.get(name) or 0 for x in rows) for name in ("weight_bytes", "macs")}
    sums["ms"] = network_ms
    rows.append({"name": "whole network", "operator": "", **sums})

    def cells(name: str, text: Any) -> list[str]:
        return [text(float(x[name])) if x.get(name) else "" for x in rows]

    def shares(name: str) -> list[str]:
        whole = sums[name] or 1
        return [f"{x[name] / whole:.0%}" if x.get(name) else "" for x in rows[:-1]] + [""]

    columns = [
        Column("layer", [x["name"] or f"({x['operator']})" for x in rows]),
        Column("operator", [x["operator"] for x in rows], 6),
        Column("weights", cells("weight_bytes", bytes_text), 0, is_number=True),
        Column("share", shares("weight_bytes"), 4, is_number=True),
        Column("MACs", cells("macs", count_text), 0, is_number=True),
        Column("share", shares("macs"), 4, is_number=True),
        Column("time", cells("ms", ms_text), 1, is_number=True),
        Column("share", shares("ms"), 5, is_number=True),
        Column("live RAM", cells("live_bytes", bytes_text), 3, is_number=True),
        Column(
            "what could be done", ["; ".join(x.get("advice") or ()) for x in rows], 2, wraps=True
        ),
    ]
    return fitted(columns, width)
