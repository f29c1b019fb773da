"""The tables of a diagnosis, for the terminal."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from lilliput.cli.tables import Column, fitted
from lilliput.core.amounts import short
from lilliput.report.numbers import MetricStyle
from lilliput.report.remedies import bar_text, kept_text, source_of, with_ends

__all__ = ["culprits_table", "remedies_table"]

_ROWS = 12


def culprits_table(found: Mapping[str, Any], style: MetricStyle, width: int) -> Table:
    """One row for each of the worst places."""
    rows: Sequence[Mapping[str, Any]] = found["culprits"][:_ROWS]
    costs = [row["alone_divergence"] for row in rows]
    most = max(filter(math.isfinite, costs), default=0.0)

    def cells(name: str, text: Any) -> list[str]:
        return [text(row[name]) if row[name] is not None else "" for row in rows]

    def ratio(of_weight: Mapping[str, Any]) -> str:
        return f"{short(of_weight['ratio'])}x"

    columns = [
        Column("culprit", [row["name"] for row in rows]),
        Column(f"{found['divergence']} alone", cells("alone_divergence", short), is_number=True),
        Column("", [bar_text(cost, most) for cost in costs], 4),
        Column("from", [source_of(row) for row in rows], 2),
        Column(f"drop alone{_unit(style)}", cells("alone", lambda m: with_ends(m, style)), 1),
        Column("recovered if float", cells("recovered", lambda m: with_ends(m, style)), 3),
        Column("weight ranges", cells("weight_range", ratio), 5, is_number=True),
        Column("signal to noise", cells("decibels", lambda x: f"{x:.1f} dB"), 3, is_number=True),
        Column("file off by", cells("parity", lambda x: f"{x:.2%}"), 6, is_number=True),
    ]
    return fitted(columns, width)


def remedies_table(found: Mapping[str, Any], style: MetricStyle, width: int) -> Table:
    """One row for each variant that was tried, with what it bought."""
    rows: Sequence[Mapping[str, Any]] = found["tried"]

    def numbers(name: str) -> list[str]:
        return [with_ends(row[name], style) if row[name] else "" for row in rows]

    columns = [
        Column("remedy", [row["remedy"] or "quantized" for row in rows]),
        Column("variant", [row["variant"] for row in rows], 1),
        Column(f"drop{_unit(style)}", numbers("drop")),
        Column(f"bought{_unit(style)}", numbers("bought")),
        Column("kept", [kept_text(row) for row in rows]),
        Column("about", [row["reason"] or ", ".join(row["layers"]) for row in rows], 2, wraps=True),
    ]
    return fitted(columns, width)


def _unit(style: MetricStyle) -> str:
    return f",{style.points}" if style.points else ""
