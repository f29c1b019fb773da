"""A figure as HTML."""

from html import escape
from typing import Any

__all__ = ["drawn"]


def drawn(figure: Any, name: str, title: str) -> str:
    """A Plotly figure as a part of the page.

    Args:
        figure: What to draw; its height is set.
        name: Unique on the page.
        title: For those who cannot see it.
    """
    html: str = figure.to_html(
        full_html=False,
        include_plotlyjs=False,
        div_id=f"figure-{name}",
        default_height=f"{figure.layout.height}px",
        config={"responsive": True, "displayModeBar": False},
    )
    label = escape(f"{title}; the table below has the numbers")
    return f'<div role="img" aria-label="{label}">{html}</div>'
