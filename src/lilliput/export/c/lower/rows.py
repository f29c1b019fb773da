"""Steps that go over a map row by row, for some of its rows alone."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from lilliput.export.c.lower.step import Step
from lilliput.export.c.network import Network

__all__ = ["constant_start", "heights", "is_by_rows", "some_rows", "wanted"]

_WINDOWS = ("conv_2d_wide", "depthwise_conv_2d", "max_pool_2d", "average_pool_2d")
_POINTS = ("add_wide", "mul", "look_up", "sum_up")
_Settings = Mapping[str, int]


def is_by_rows(network: Network, step: Step) -> bool:
    """Whether `some_rows` can split it: a batch of one, each row made of few others."""
    shapes = [network.tensors[tensor].shape for tensor in _maps(network, step)]
    if not shapes or any(len(shape) != 4 or shape[0] != 1 for shape in shapes):
        return False
    if step.kernel in _POINTS:
        return len(set(shapes)) == 1 and _split_of(step, shapes[0][1]) is not None
    if step.kernel not in _WINDOWS:
        return False
    return all(len(wanted(step, range(r, r + 1))) for r in range(_Window.of(step).out_height))


def heights(network: Network, step: Step) -> int:
    """How many rows it is done in: those of its output, or of its input where it sums them up."""
    tensor = step.reads[0] if step.kernel == "sum_up" else step.writes
    return network.tensors[tensor].shape[1]


def wanted(step: Step, rows: range) -> range:
    """Rows of a map it reads, for rows of what it writes."""
    if step.kernel in _POINTS:
        return rows
    window = _Window.of(step)
    first, last = window.top(rows.start), window.top(rows.stop - 1) + window.span
    return range(max(0, first), min(window.in_height, last))


def some_rows(network: Network, step: Step, rows: range) -> Step:
    """The step for some rows of its output, its maps beginning with the rows that it needs."""
    height = heights(network, step)
    share = len(rows) / height
    settings = dict(step.settings)
    if step.kernel in _POINTS:
        name = _split_of(step, height)
        assert name is not None, step  # noqa: S101  asked before, by `is_by_rows`
        settings[name] = settings[name] // height * len(rows)
        if step.kernel == "sum_up":
            settings["is_first"] = int(rows.start == 0)
    else:
        window, needed = _Window.of(step), wanted(step, rows)
        changed = {
            "in_height": len(needed),
            "out_height": len(rows),
            "pad_height": needed.start - window.top(rows.start),
        }
        settings |= {_prefix(settings) + name: value for name, value in changed.items()}
    return replace(
        step, settings=settings, macs=round(step.macs * share), distances={}, in_place=()
    )


def constant_start(network: Network, step: Step, which: int, rows: range) -> int:
    """Where in a constant that it reads some rows begin, in bytes; 0 if it is there for all."""
    name = _split_of(step, heights(network, step))
    if name is None or which > 1 or not name.startswith("size"):
        return 0
    stride = step.settings[f"{('first', 'second')[which]}_stride_{name[-1]}"]
    return stride * (step.settings[name] // heights(network, step)) * rows.start


def _maps(network: Network, step: Step) -> list[int]:
    """What flows and has rows."""
    read = [tensor for tensor in step.reads if network.tensors[tensor].data is None]
    return read if step.kernel == "sum_up" else [*read, step.writes]


def _split_of(step: Step, height: int) -> str | None:
    """The number of a point-wise kernel that counts what lies in all rows."""
    if step.kernel in {"look_up", "sum_up"}:
        return "count"
    for axis in range(4):  # the outermost axis that there is runs over the rows
        size = step.settings[f"size_{axis}"]
        if size > 1:
            return f"size_{axis}" if size % height == 0 else None
    return None


@dataclass(frozen=True)
class _Window:
    """How a kernel goes down a map."""

    in_height: int
    out_height: int
    stride: int
    before: int
    span: int

    @staticmethod
    def of(step: Step) -> "_Window":
        prefix = _prefix(step.settings)

        def setting(name: str, default: int | None = None) -> int:
            found = step.settings.get(f"{prefix}{name}_height", default)
            assert found is not None  # noqa: S101  all kernels with windows have it
            return found

        span = (setting("kernel") - 1) * setting("dilation", 1) + 1
        return _Window(setting("in"), setting("out"), setting("stride"), setting("pad"), span)

    def top(self, row: int) -> int:
        """The first row of the input, or above it, that an output row sees."""
        return row * self.stride - self.before


def _prefix(settings: _Settings) -> str:
    return "window." if "window.in_height" in settings else ""
