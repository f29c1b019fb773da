"""How near to its input a convolution may write before it has read all of it."""

from lilliput.export.c.lower.step import Step

__all__ = ["distance"]


def distance(step: Step, is_gathered: bool, together: int = 1) -> int:
    """Bytes by which the input must begin behind the output.

    Outputs are written from the first place to the last; those places are safe whose input lies
    before all that later ones read.

    Args:
        step: A convolution with the settings of a window.
        is_gathered: Whether what a place reads is copied before its outputs are written.
        together: How many places are read before any of them is written.
    """
    of = {name.removeprefix("window."): value for name, value in step.settings.items()}
    width, places = of["out_width"], of["out_height"] * of["out_width"]
    line = of["in_width"] * of["in_channels"]

    def first_byte(place: int) -> int:
        """Before which nothing is read for this place or a later one."""
        row = max(0, place // width * of["stride_height"] - of["pad_height"])
        column = 0 if is_gathered else place % width * of["stride_width"] - of["pad_width"]
        return row * line + max(0, column) * of["in_channels"]

    needed = []
    for place in range(0, places, together):
        written = min(place + together, places) * of["out_channels"]
        still_read = place + together if is_gathered else place
        if still_read < places:
            needed.append(written - first_byte(still_read))
    return max(needed, default=-(of["in_height"] * line))
