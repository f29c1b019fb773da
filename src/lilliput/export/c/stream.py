"""Rows that stream through layers: of the maps between them a few rows are there at a time."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod

from lilliput.export.c.lower.rows import Rows, is_by_rows
from lilliput.export.c.lower.step import Program, Step
from lilliput.export.c.network import Network

__all__ = ["Stream", "can_stream", "streamed"]


@dataclass(frozen=True)
class Stream:
    """Layers through which rows stream.

    Args:
        layers: Steps next to each other.
        rows: How many rows of the tallest map among them are made at a time, and of others in
            proportion, one at least.
    """

    layers: range
    rows: int


def can_stream(program: Program, step: Step) -> bool:
    """Whether rows can stream through a layer: it goes by rows and reads no map of a new shape."""
    is_renamed = any(tensor in program.places for tensor in step.reads)
    return not is_renamed and is_by_rows(program.network, step)


def streamed(program: Program, stream: Stream) -> Program:
    """The same calls for some rows at a time, in an order in which no row is made twice.

    Maps that only these layers write and read become buffers of rows. What is asked for is the next
    rows of the last map; each layer first asks for the rows that it reads. Rows that no layer will
    read any more make room; those that are left then move to the beginning of their buffer.
    """
    steps = program.steps[stream.layers.start : stream.layers.stop]
    trial = _Calls(program, steps, stream.rows)
    for _ in trial.calls():  # finds how many rows each buffer must hold
        pass
    tensors = list(program.network.tensors)
    for tensor, count in trial.room.items():
        _, _, width, channels = tensors[tensor].shape
        tensors[tensor] = replace(tensors[tensor], shape=(1, count, width, channels))
    calls = tuple(_Calls(program, steps, stream.rows, trial.room).calls())
    before = program.steps[: stream.layers.start]
    after = program.steps[stream.layers.stop :]
    network = replace(program.network, tensors=tuple(tensors))
    distances = _distances(program, stream, calls)
    return Program(network, (*before, *calls, *after), program.places, distances)


@dataclass(eq=False)
class _Calls:
    """Calls in order, and which rows are where meanwhile.

    Args:
        program: The whole.
        steps: Those through which rows stream.
        at_once: Rows of the tallest map.
        fixed: How many rows each buffer holds; while None, that is found out.
    """

    program: Program
    steps: tuple[Step, ...]
    at_once: int
    fixed: Mapping[int, int] | None = None
    room: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.network: Network = self.program.network
        self.writers = {s.writes: k for k, s in enumerate(self.steps)}
        self.readers = {
            tensor: [k for k, s in enumerate(self.steps) if tensor in s.reads]
            for tensor in _between(self.program, self.steps)
        }
        self.rows = [Rows.of(self.network, step) for step in self.steps]
        self.heights = [rows.height for rows in self.rows]
        self.done = [0] * len(self.steps)
        self.first = dict.fromkeys(self.readers, 0)  # row at the beginning of each buffer
        tallest = max(self.heights)
        self.share = [max(1, self.at_once * height // tallest) for height in self.heights]

    def calls(self) -> Iterator[Step]:
        """The last maps a few rows at a time, whichever is behind."""
        ends = [k for k, step in enumerate(self.steps) if step.writes not in self.readers]
        while behind := [k for k in ends if self.done[k] < self.heights[k]]:
            k = min(behind, key=lambda k: self.done[k] / self.heights[k])
            yield from self._until(k, min(self.heights[k], self.done[k] + self.share[k]))

    def _until(self, k: int, last: int) -> Iterator[Step]:
        """Rows of a layer up to this one, and before them what they are made of."""
        while self.done[k] < last:
            rows = range(self.done[k], min(last, self.done[k] + self.share[k]))
            step = self.steps[k]
            for tensor in dict.fromkeys(step.reads):
                if tensor in self.writers:
                    yield from self._until(self.writers[tensor], self.rows[k].wanted(rows).stop)
            fills = step.writes in self.readers and self._first_needed(step.writes) == rows.start
            if step.writes in self.readers:
                yield from self._room_for(step, rows)
            starts = tuple(self._starts(k, rows))
            yield replace(self.rows[k].some(rows), starts=starts, fills=fills)
            self.done[k] = rows.stop

    def _room_for(self, step: Step, rows: range) -> Iterator[Step]:
        """Moves the rows that are left if there is no room behind them."""
        tensor = step.writes
        needed = self._first_needed(tensor)
        self.room[tensor] = max(self.room.get(tensor, 0), rows.stop - needed)
        is_full = self.fixed is not None and rows.stop - self.first[tensor] > self.fixed[tensor]
        if is_full and needed < rows.start:
            line = prod(self.network.tensors[tensor].shape[2:])
            starts = ((needed - self.first[tensor]) * line, 0)
            told = {"count": (rows.start - needed) * line}
            yield Step("move_up", step.operator, (tensor,), tensor, told, starts=starts)
        if is_full or needed == rows.start:
            self.first[tensor] = needed

    def _first_needed(self, tensor: int) -> int:
        """The first row that a layer will still read."""
        made = self.done[self.writers[tensor]]
        firsts = [
            self.rows[k].wanted(range(self.done[k], self.done[k] + 1)).start
            for k in self.readers[tensor]
            if self.done[k] < self.heights[k]
        ]
        return min([*firsts, made])

    def _starts(self, k: int, rows: range) -> Iterator[int]:
        step, wanted = self.steps[k], self.rows[k].wanted(rows)
        for which, tensor in enumerate(step.reads):
            held = self.network.tensors[tensor]
            if held.data is not None:
                yield self.rows[k].constant_start(which, rows)
            else:
                begin = wanted.start - self.first.get(tensor, 0)
                yield begin * prod(held.shape[2:])
        if step.kernel == "sum_up":
            yield 0
        else:
            line = prod(self.network.tensors[step.writes].shape[2:])
            yield (rows.start - self.first.get(step.writes, 0)) * line


def _between(program: Program, steps: tuple[Step, ...]) -> set[int]:
    """Maps that these layers alone write, once, and read."""
    outside = [step for step in program.steps if step not in steps]
    seen = {t for step in outside for t in (*step.reads, step.writes)}
    seen |= {t for pair in program.places.items() for t in pair}
    seen |= {*program.network.outputs, *program.network.inputs}
    written = [step.writes for step in steps if step.kernel != "sum_up"]
    read = {tensor for step in steps for tensor in step.reads}
    return {t for t in written if t in read and t not in seen and written.count(t) == 1}


def _distances(
    program: Program, stream: Stream, calls: Sequence[Step]
) -> dict[tuple[int, int], int]:
    """How far maps that are there as a whole must begin behind those that are written over them."""
    place = program.place_of
    between = _between(program, program.steps[stream.layers.start : stream.layers.stop])
    outside = (*program.steps[: stream.layers.start], *program.steps[stream.layers.stop :])
    after = {place(t) for step in program.steps[stream.layers.stop :] for t in step.reads}
    other = after | {place(t) for t in program.network.outputs}
    read = {place(t) for step in program.steps for t in step.reads} & {
        place(t) for call in calls for t in call.reads
    }
    written = {call.writes for call in calls if call.kernel != "sum_up"}
    fresh = written - {place(step.writes) for step in outside}
    return {
        (sink, source): _distance(program, calls, sink, source)
        for sink in sorted(fresh - between)
        for source in sorted(read - other - written)
        if program.network.tensors[source].data is None
    }


def _distance(program: Program, calls: Sequence[Step], sink: int, source: int) -> int:
    """What is written never reaches what is still to be read."""
    tensors = program.network.tensors
    still, end, found = tensors[source].count, tensors[sink].count, -tensors[source].count
    for call in reversed(calls):
        for tensor, start in zip(call.reads, call.starts, strict=False):
            if program.place_of(tensor) == source:
                still = min(still, start)
        if call.writes == sink:
            found = max(found, end - still)
            end = call.starts[-1]
    return found
