"""Steps that go over a map row by row, for some of its rows alone."""

from dataclasses import dataclass, replace

from lilliput.export.c.lower.step import Step
from lilliput.export.c.network import Network

__all__ = ["Rows", "is_by_rows"]

_WINDOWS = ("conv_2d_wide", "depthwise_conv_2d", "max_pool_2d", "average_pool_2d")
_POINTS = ("add_wide", "mul", "look_up", "sum_up")


def is_by_rows(network: Network, step: Step) -> bool:
    """Whether it can be split: a batch of one, each row made of few others."""
    shapes = [network.tensors[tensor].shape for tensor in _maps(network, step)]
    if not shapes or any(len(shape) != 4 or shape[0] != 1 for shape in shapes):
        return False
    if step.kernel in _POINTS:
        return len(set(shapes)) == 1 and _split_of(step, shapes[0][1]) is not None
    if step.kernel not in _WINDOWS:
        return False
    rows = Rows.of(network, step)
    return all(len(rows.wanted(range(r, r + 1))) for r in range(rows.height))


@dataclass(frozen=True)
class Rows:
    """How a step goes down a map.

    Args:
        step: One that is done by rows.
        height: How many rows it is done in: those of its output, or of its input where it sums
            them up.
        in_height: Of the maps that it reads.
        stride: Rows of these from one row to the next.
        before: Rows that it sees above them.
        span: Rows that it sees at once.
        split: The setting of a point-wise kernel that counts what lies in all rows, or "".
    """

    step: Step
    height: int
    in_height: int
    stride: int = 1
    before: int = 0
    span: int = 1
    split: str = ""

    @staticmethod
    def of(network: Network, step: Step) -> "Rows":
        """Of a step for which `is_by_rows` holds."""
        if step.kernel in _POINTS:
            tensor = step.reads[0] if step.kernel == "sum_up" else step.writes
            height = network.tensors[tensor].shape[1]
            return Rows(step, height, height, split=_split_of(step, height) or "")
        prefix, settings = _prefix(step), step.settings
        dilation = settings.get(f"{prefix}dilation_height", 1)
        return Rows(
            step,
            settings[f"{prefix}out_height"],
            settings[f"{prefix}in_height"],
            settings[f"{prefix}stride_height"],
            settings[f"{prefix}pad_height"],
            (settings[f"{prefix}kernel_height"] - 1) * dilation + 1,
        )

    def wanted(self, rows: range) -> range:
        """Rows of a map it reads, for rows of what it writes."""
        top = rows.start * self.stride - self.before
        last = (rows.stop - 1) * self.stride - self.before + self.span
        return range(max(0, top), min(self.in_height, last))

    def some(self, rows: range) -> Step:
        """The step for some rows of its output, its maps beginning with the rows that it needs."""
        step, settings = self.step, dict(self.step.settings)
        if self.split:
            settings[self.split] = settings[self.split] // self.height * len(rows)
        else:
            needed, prefix = self.wanted(rows), _prefix(step)
            settings[f"{prefix}in_height"] = len(needed)
            settings[f"{prefix}out_height"] = len(rows)
            settings[f"{prefix}pad_height"] = needed.start - rows.start * self.stride + self.before
        if step.kernel == "sum_up":
            settings["is_first"] = int(rows.start == 0)
        macs = round(step.macs * len(rows) / self.height)
        return replace(step, settings=settings, macs=macs, distances={}, in_place=())

    def constant_start(self, which: int, rows: range) -> int:
        """Where in a constant that it reads some rows begin, in bytes; 0 if it is for all rows."""
        if which > 1 or not self.split.startswith("size"):
            return 0
        stride = self.step.settings[f"{('first', 'second')[which]}_stride_{self.split[-1]}"]
        return stride * (self.step.settings[self.split] // self.height) * rows.start


def _maps(network: Network, step: Step) -> list[int]:
    """What flows and has rows."""
    read = [tensor for tensor in step.reads if network.tensors[tensor].data is None]
    return read if step.kernel == "sum_up" else [*read, step.writes]


def _split_of(step: Step, height: int) -> str | None:
    if step.kernel in {"look_up", "sum_up"}:
        return "count"
    for axis in range(4):  # the outermost axis that there is runs over the rows
        size = step.settings[f"size_{axis}"]
        if size > 1:
            return f"size_{axis}" if size % height == 0 else None
    return None


def _prefix(step: Step) -> str:
    return "window." if "window.in_height" in step.settings else ""
