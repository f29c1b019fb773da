"""What a run says of a variant once it is measured."""

from lilliput.registry import Variant

__all__ = ["line_of"]


def line_of(variant: Variant) -> str:
    """One variant in one line: what it scores, costs and saves."""
    words = [f"{variant.name} on {variant.target}:"]
    metric, drop = variant.value("metric"), variant.measurement("drop")
    if metric is not None:
        words.append(f"metric {metric:.4g}")
    if drop is not None and drop.low is not None and drop.high is not None:
        words.append(f"(drop {drop.value:.4g}, {drop.low:.4g} to {drop.high:.4g})")
    quantities = [("size", 1e3, "kB"), ("flash", 1e3, "kB unpacked"), ("latency", 1.0, "ms")]
    if variant.is_on_chip:
        quantities = [("flash", 1e3, "kB of flash"), ("peak_ram", 1e3, "kB of RAM")]
        quantities.append(("instructions", 1e6, "million instructions"))
    for quantity, scale, unit in quantities:
        value = variant.value(quantity)
        if value is not None:
            words.append(f"{value / scale:,.4g} {unit}")
    ratio = variant.value("latency_ratio")
    if ratio and variant.parent:
        words.append(f"{1 / ratio:.2f} times as fast as the original there")
    return " ".join(words)
