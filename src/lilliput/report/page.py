"""The report: one HTML file that opens without a network."""

from collections.abc import Mapping
from html import escape
from pathlib import Path

from lilliput.core.amounts import bytes_text
from lilliput.registry import Family
from lilliput.report.diagnosis import diagnosis_section
from lilliput.report.drawing import drawn
from lilliput.report.facts import budget_of, style_of, targets_of
from lilliput.report.figures import front_figure, heat_map, hidden_below
from lilliput.report.files import write_csv, write_json, write_text
from lilliput.report.headline import headlines
from lilliput.report.layers import layers_section
from lilliput.report.numbers import ms_text
from lilliput.report.style import CSS, SCRIPT
from lilliput.report.tables import how_measured, settings_list, skipped_table, variants_table

__all__ = ["report"]

_SECTIONS = {
    "front": "The front",
    "variants": "Variants",
    "diagnosis": "Culprits and remedies",
    "layers": "Layers, before and after",
    "sensitivity": "Sensitivity",
    "skipped": "What was skipped",
    "measured": "How each number was measured",
    "settings": "Settings",
}


def report(family: Family, path: str | Path) -> Path:
    """Writes the family as one offline HTML file, and `family.csv` and `family.json` beside it.

    Args:
        family: What to show.
        path: The HTML file to write; inside it, `report.html`, where it is a folder.

    Returns:
        The HTML file.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "report.html"
    write_text(path, _page(family))
    write_csv(family, path.with_name("family.csv"))
    write_json(family, path.with_name("family.json"))
    return path


def _page(family: Family) -> str:
    from plotly.offline import get_plotlyjs

    bodies = {
        "front": _front(family),
        "variants": variants_table(family),
        "diagnosis": diagnosis_section(family),
        "layers": layers_section(family),
        "sensitivity": _sensitivity(family),
        "skipped": skipped_table(family),
        "measured": how_measured(family),
        "settings": _settings(family),
    }
    titles = {key: title for key, title in _SECTIONS.items() if bodies[key]}
    links = "".join(f'<a href="#{key}">{title}</a>' for key, title in titles.items())
    sections = "".join(
        f'<section id="{key}"><h2>{title}</h2>{bodies[key]}</section>'
        for key, title in titles.items()
    )
    title = escape(f"{family.task}: smaller and faster variants")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{CSS}</style>"
        f"<script>{get_plotlyjs()}</script></head><body><main>"
        f"<header><h1>{title}</h1>{_headline(family)}<nav>{links}</nav></header>"
        f"{sections}</main><script>{SCRIPT}</script></body></html>\n"
    )


def _headline(family: Family) -> str:
    if not family.variants:
        return '<p class="headline">No variant has been made yet.</p>'
    return "".join(
        f'<p class="headline">{escape(sentence)}<small>{escape(target)}</small></p>'
        for target, sentence in headlines(family)
    )


def _front(family: Family) -> str:
    figures, costs = [], ["size", "latency"]
    if any(v.is_on_chip for v in family.variants):  # and perhaps other targets beside them
        has_times = any(v.value("latency") for v in family.variants)
        costs = ["flash", "instructions", *(costs if has_times else [])]
    for x in costs:
        title = f"Metric against {x}"
        figure = front_figure(family, x)
        hidden = hidden_below(family, x)
        words = (
            f'<p class="soft">{len(hidden)} worse variants lie outside; '
            "double-click to see all.</p>"
            if hidden
            else ""
        )
        picture = '<p class="soft">Not measured.</p>' if figure is None else drawn(figure, x, title)
        figures.append(f"<figure><figcaption>{title}</figcaption>{picture}{words}</figure>")
    return (
        "<p>Each point is a file that was loaded and scored in its own runtime, on validation "
        "data. Stars are the originals, lines the fronts, bars the intervals, dashes the budget's "
        "limits; a hollow point is slower than its original.</p>"
        f'<div class="pair">{"".join(figures)}</div>'
    )


def _sensitivity(family: Family) -> str:
    """Maps of the channel groups and of the blocks that can be removed whole."""
    parts = []
    for note, title in (
        ("sensitivity", "channels removed"),
        ("block_sensitivity", "block removed"),
    ):
        drops: Mapping[str, Mapping[str, float]] = family.notes.get(note) or {}
        if drops:
            parts.append(f'<div class="narrow">{drawn(heat_map(drops, title), note, title)}</div>')
    if not parts:
        return "<p>Not measured.</p>"
    words = (
        "<p>How much the validation loss rises when a part is removed and nothing is trained "
        "again. Pale parts can be spared; dark ones are what the network lives on.</p>"
    )
    return words + "".join(parts)


def _settings(family: Family) -> str:
    notes = family.notes
    versions: Mapping[str, str] = notes.get("versions") or {}
    way = "higher is better" if family.higher_is_better else "lower is better"
    seconds = {name: notes.get(name) for name in ("time_budget_s", "spent_s")}
    pairs = [
        ("task", family.task),
        ("metric", f"{family.metric}, {way}"),
        ("targets", ", ".join(targets_of(family))),
        ("budget", ", ".join(_limits(family)) or "none"),
        ("time budget", f"{seconds['time_budget_s']:,.0f} s" if seconds["time_budget_s"] else ""),
        ("time used", f"{seconds['spent_s']:,.0f} s" if seconds["spent_s"] else ""),
        ("seed", ", ".join(sorted({str(variant.seed) for variant in family.variants}))),
        ("machine", str(notes.get("machine", ""))),
        ("versions", ", ".join(f"{name} {number}" for name, number in versions.items())),
    ]
    return settings_list([(name, value) for name, value in pairs if value])


def _limits(family: Family) -> list[str]:
    """The budget's limits in words."""
    limits = budget_of(family).limits()
    words = {"drop": style_of(family).limit, "latency": ms_text}
    return [
        f"{quantity.replace('_', ' ')} at most {words.get(quantity, bytes_text)(limit)}"
        for quantity, limit in limits.items()
    ]
