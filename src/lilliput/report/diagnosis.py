"""The section of a report on culprits and remedies."""

from collections.abc import Mapping
from html import escape
from typing import Any

from lilliput.core.amounts import short
from lilliput.registry import Family
from lilliput.report.diagnosis_figures import (
    cost_figure,
    ranges_figure,
    remedies_figure,
    signal_figure,
)
from lilliput.report.drawing import drawn
from lilliput.report.facts import style_of
from lilliput.report.numbers import MetricStyle
from lilliput.report.remedies import kept_text, outcome, source_of, with_ends
from lilliput.report.tables import table

__all__ = ["diagnosis_section"]

Row = Mapping[str, Any]


def diagnosis_section(family: Family) -> str:
    """One part for each network that was diagnosed, the first one open; "" where none was."""
    diagnoses: Mapping[str, Row] = family.notes.get("diagnoses") or {}
    style = style_of(family)
    parts: list[str] = []
    for index, (name, found) in enumerate(diagnoses.items()):
        is_open = "" if parts else " open"
        body = _part(found, style, f"diagnosis-{index}")
        parts.append(f"<details{is_open}><summary>{escape(name)}</summary>{body}</details>")
    return "".join(parts)


def _part(found: Row, style: MetricStyle, name: str) -> str:
    figures = (
        ("cost", "With nothing else quantized", cost_figure(found)),
        ("signal", "Signal to noise; large points are layers", signal_figure(found)),
        (
            "weights",
            "Largest weight of each channel: range, quartiles",
            ranges_figure(found, "weight_range"),
        ),
        ("read", "What layers read: range, median, 0.1 and 99.9 %", ranges_figure(found, "read")),
    )
    steps = remedies_figure(found, style)
    remedies = "" if steps is None else drawn(steps, f"{name}-remedies", "Remedies")
    pictures = "".join(
        f"<figure><figcaption>{title}</figcaption>{drawn(figure, f'{name}-{key}', title)}</figure>"
        for key, title, figure in figures
        if figure is not None
    )
    return (
        f"<p>{escape(outcome(found, style))}.</p>"
        "<h3>Remedies</h3><p>Each variant was exported and scored in its own runtime. Green took "
        "something off the drop and was kept, white was not; dots are drops with their 95 % "
        f"intervals.</p>{remedies}{_remedies_table(found, style)}"
        f"<h3>Culprits</h3><p>Simulated in PyTorch on {found['samples']:,} validation examples: "
        "with only this place quantized, and with all but this one. Where the drop is lost in "
        f"the noise of few examples, the {escape(found['divergence'])} from the float outputs "
        f'still tells.</p><div class="pair">{pictures}</div>{_culprits_table(found, style)}'
    )


def _remedies_table(found: Row, style: MetricStyle) -> str:
    unit = f",{style.points}" if style.points else ""
    rows = [
        (
            row["remedy"] or "quantized",
            row["variant"],
            with_ends(row["drop"], style) if row["drop"] else "",
            with_ends(row["bought"], style) if row["bought"] else "",
            kept_text(row),
            row["reason"] or ", ".join(row["layers"]),
        )
        for row in found["tried"]
    ]
    heads = ("remedy", "variant", f"drop{unit}", f"bought{unit}", "kept", "about")
    return table(heads, rows)


def _culprits_table(found: Row, style: MetricStyle) -> str:
    unit = f",{style.points}" if style.points else ""
    heads = (
        "culprit",
        f"{found['divergence']} alone",
        "from",
        f"drop alone{unit}",
        f"recovered if float{unit}",
        "weight ranges",
        "codes used",
        "signal to noise",
        "file differs by",
    )
    rows = [
        (
            row["name"],
            short(row["alone_divergence"]),
            source_of(row),
            with_ends(row["alone"], style),
            with_ends(row["recovered"], style),
            f"{short(row['weight_range']['ratio'])}x" if row["weight_range"] else "",
            f"{row['weight_range']['codes']:.0%}" if row["weight_range"] else "",
            "" if row["decibels"] is None else f"{row['decibels']:.1f} dB",
            "" if row["parity"] is None else f"{row['parity']:.2%}",
        )
        for row in found["culprits"]
    ]
    return table(heads, rows).replace('class="wide"', 'class="wide tall"')
