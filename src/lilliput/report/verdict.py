"""A comparison in words: whether pruning was worth it, and by how much each arm is behind."""

from lilliput.core import Measurement
from lilliput.report.numbers import MetricStyle
from lilliput.search.contest.comparison import Comparison, Row

__all__ = ["lead_text", "score_text", "style_of_comparison", "verdict"]


def style_of_comparison(found: Comparison) -> MetricStyle:
    """Whether the metric is a share is told from its values."""
    rows = (found.original, *found.rows)
    values = [m.value for row in rows for m in (row.metric, row.test_metric) if m is not None]
    return MetricStyle.of(found.metric, values, found.higher_is_better)


def verdict(found: Comparison, style: MetricStyle) -> str:
    """What it all came to, in a sentence."""
    led = [row for row in found.rows if row.lead is not None]
    if not led:
        return "nothing to compare yet: the pruned arm and another must have a run"
    better = [row for row in led if _sign(row.lead) < 0]
    if better:
        best = min(better, key=lambda row: row.lead.value if row.lead else 0.0)
        return f"train small: {best.arm} is better than pruning by {_by(best, style)}"
    unsure = [row for row in led if _sign(row.lead) == 0]
    if unsure:
        names = " and ".join(row.arm for row in unsure)
        verb = "differs" if len(unsure) == 1 else "differ"
        return f"no clear answer: {names} {verb} from pruning by no more than chance may"
    nearest = min(led, key=lambda row: row.lead.value if row.lead else 0.0)
    return f"prune: the nearest, {nearest.arm}, is behind by {_by(nearest, style)}"


def lead_text(row: Row, style: MetricStyle) -> str:
    """How much better the pruned arm is, with its interval; "" for that arm itself."""
    if row.lead is None:
        return ""
    text = style.difference(row.lead.value)
    if row.lead.low is None or row.lead.high is None:
        return text
    return f"{text} ({style.difference(row.lead.low)} to {style.difference(row.lead.high)})"


def score_text(found: Measurement | None, style: MetricStyle) -> str:
    """A score with its interval: `91.73 % (91.10 to 92.36)`."""
    if found is None:
        return ""
    text = style.value(found.value)
    if found.low is None or found.high is None:
        return text
    return f"{text} ({style.difference(found.low)} to {style.difference(found.high)})"


def _sign(lead: Measurement | None) -> int:
    """1 where pruning is better beyond chance, -1 where it is worse, 0 where nothing tells."""
    if lead is None or lead.low is None or lead.high is None:
        return 0
    return 1 if lead.low > 0 else -1 if lead.high < 0 else 0


def _by(row: Row, style: MetricStyle) -> str:
    """The difference, positive whoever is ahead, with its interval."""
    lead = row.lead
    assert lead is not None  # noqa: S101
    assert lead.low is not None  # noqa: S101
    assert lead.high is not None  # noqa: S101
    ends = sorted((abs(lead.low), abs(lead.high)))
    words = " to ".join(style.difference(end) for end in ends)
    return f"{style.difference(abs(lead.value))}{style.points} ({words})"
