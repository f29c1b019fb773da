"""Streams of integers as blocks, each in the form that takes the fewest bytes, and back.

The first byte of a block says its form: 0 for the integers as they are, 1 for range ANS
(`block.py`), 2 for LZMA with its settings in the next byte, 3 for mixing (`mixing.py`). Integers of
`width` bytes count modulo 256^width.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from lilliput.core import PackError
from lilliput.core.progress import track
from lilliput.pack.block import decode_block
from lilliput.pack.choose import draft_block
from lilliput.pack.container import checksum
from lilliput.pack.header import Block, Stream
from lilliput.pack.mixing import check_mixed, decode_mixed
from lilliput.pack.native import native_mixing
from lilliput.pack.native_rans import native_rans
from lilliput.pack.plan import Draft, Method, encode_plans, planned
from lilliput.pack.predict import Kernel
from lilliput.pack.smallest import shortest_mixed
from lilliput.pack.squeeze import expanded, squeezed
from lilliput.pack.tokens import Integers
from lilliput.pack.weigh import weigh_tokens

__all__ = ["Source", "Unsigned", "decode_stream", "encode_streams"]

Unsigned = npt.NDArray[np.unsignedinteger[Any]]

_STORED, _CODED, _LZMA, _MIXED = 0, 1, 2, 3
_BLOCK = 1 << 18
"""Integers in a block of weights."""
_TEXT_BLOCK = 1 << 22
"""Bytes in a block of what may repeat over long distances."""
_MIXED_BLOCK = 1 << 22
"""Integers in a block that is mixed, at most: it learns as it goes."""
_BLOCK_HEAD = 10
"""Bytes that the header has for a block."""
_SYMBOLS_AT_ONCE, _BLOCK_SYMBOLS = 1 << 22, 1 << 12
"""Of the blocks whose tables are found together, and of the smallest such block, as it counts."""
_FULL = 0.998
"""Of the bits of a byte: such bytes are stored as they are."""
_NEARLY_FULL, _SAMPLE = 0.9, 4096
"""Bytes are counted where a sample has as many bits."""


@dataclass(frozen=True, eq=False)
class Source:
    """Integers to be coded.

    Args:
        values: In order.
        width: Bytes of each: 1, 2 or 4.
        columns: Integers in a row; 0 where there are no rows.
        is_text: Whether pieces are likely to repeat.
        kernels: Where taps of filters may be.
    """

    values: Integers
    width: int
    columns: int = 0
    is_text: bool = False
    kernels: tuple[Kernel, ...] = ()


@dataclass(eq=False)
class _Job:
    """A block on its way."""

    source: int
    values: Integers
    width: int
    columns: int
    is_text: bool
    kernels: tuple[Kernel, ...] = ()
    draft: Draft | None = None
    data: bytes = field(default=b"")


def encode_streams(
    sources: Sequence[Source], is_smallest: bool = False
) -> list[tuple[Stream, list[bytes]]]:
    """Each stream's description and blocks; every block was decoded again and compared.

    Args:
        sources: What is coded.
        is_smallest: Whether mixing is tried, which is slow.
    """
    jobs = [job for place, source in enumerate(sources) for job in _blocks(place, source)]
    waiting: list[_Job] = []
    before: dict[int, Method] = {}
    symbols = 0
    compiled = native_rans()
    weigh = compiled.weigh if compiled else weigh_tokens
    for job in track(jobs, "packing"):
        if not _is_full(job):
            like = before.get(job.source)
            job.draft = draft_block(job.values, job.columns, job.kernels, like, weigh)
            before = {job.source: job.draft.method}
            symbols += max(job.draft.symbols, _BLOCK_SYMBOLS)
        waiting.append(job)
        if symbols > _SYMBOLS_AT_ONCE:
            _finish(waiting)
            waiting, symbols = [], 0
    _finish(waiting)
    if is_smallest:
        jobs = [job for group in track(list(_groups(jobs)), "mixing") for job in _mixed(group)]
    return [_described(place, source, jobs) for place, source in enumerate(sources)]


def _described(place: int, source: Source, jobs: Sequence[_Job]) -> tuple[Stream, list[bytes]]:
    own = [job for job in jobs if job.source == place]
    blocks = tuple(Block(len(j.values), len(j.data), checksum(j.data)) for j in own)
    return Stream(source.width, _columns(source), blocks), [job.data for job in own]


def _columns(source: Source) -> int:
    """Integers in a row; one row for all where a row would not fit into a block."""
    return source.columns if 0 < source.columns <= _BLOCK else max(1, len(source.values))


def _blocks(place: int, source: Source) -> Iterator[_Job]:
    columns = _columns(source)
    size = _TEXT_BLOCK if source.is_text else _BLOCK // min(columns, _BLOCK) * min(columns, _BLOCK)
    for start in range(0, len(source.values), size):
        values = source.values[start : start + size]
        yield _Job(place, values, source.width, columns, source.is_text, source.kernels)


def _is_full(job: _Job) -> bool:
    """Whether bytes use all their bits, so that nothing can be saved."""
    if job.width != 1:
        return False
    sample = job.values[:: max(1, len(job.values) // _SAMPLE)]
    return _bits_of(sample) > 8 * _NEARLY_FULL and _bits_of(job.values) > 8 * _FULL


def _bits_of(values: Integers) -> float:
    """The entropy of bytes."""
    share = np.bincount(values & 255, minlength=256) / len(values)
    used = share[share > 0]
    return float(used @ -np.log2(used))


def _finish(jobs: Sequence[_Job]) -> None:
    """Codes blocks side by side, and takes the shortest form of each."""
    drafted = [job for job in jobs if job.draft is not None]
    plans = planned([job.draft for job in drafted if job.draft is not None])
    compiled = native_rans()
    codes = list(map(compiled.encode, plans)) if compiled else encode_plans(plans)
    coded = {id(job): code for job, code in zip(drafted, codes, strict=True)}
    for job in jobs:
        forms = [bytes([_STORED]) + _raw(job.values, job.width)]
        if id(job) in coded:
            forms.append(bytes([_CODED]) + coded[id(job)])
        if job.is_text:
            forms.append(bytes([_LZMA]) + squeezed(forms[0][1:]))
        job.data = min(forms, key=len)
        job.draft = None
        _check(job)


def _groups(jobs: Sequence[_Job]) -> Iterator[list[_Job]]:
    """Neighbouring blocks that one mixed block may take the place of."""
    group: list[_Job] = []
    for job in jobs:
        count = sum(len(other.values) for other in group) + len(job.values)
        if group and (group[0].source != job.source or count > _MIXED_BLOCK):
            yield group
            group = []
        group.append(job)
    if group:
        yield group


def _mixed(group: list[_Job]) -> list[_Job]:
    """One mixed block, or the blocks as they are where they are shorter."""
    first = group[0]
    if first.is_text or all(_is_full(job) for job in group):
        return group
    values = np.concatenate([job.values for job in group])
    most = sum(len(job.data) for job in group) + _BLOCK_HEAD * (len(group) - 1) - 2
    data = shortest_mixed(values, first.columns, most, first.kernels)
    if data is None:
        return group
    job = _Job(first.source, values, first.width, first.columns, is_text=False)
    job.data = bytes([_MIXED]) + data
    _check(job)
    return [job]


def _check(job: _Job) -> None:
    back = _decoded(job.data, len(job.values), job.width, job.columns, "a block")
    if _raw(back, job.width) != _raw(job.values, job.width):
        raise AssertionError("a block does not decode to what it was made of")


def _raw(values: Integers, width: int) -> bytes:
    return values.astype(f"<u{width}").tobytes()


def decode_stream(stream: Stream, blocks: Sequence[bytes], what: str) -> Unsigned:
    """The integers of a stream, in as many bytes as they count.

    Args:
        stream: Its description.
        blocks: Their bytes.
        what: Whose stream it is, for errors.

    Raises:
        PackError: A block is damaged; the message names it.
    """
    found = np.empty(stream.count, f"u{stream.width}")
    at = 0
    for place, (block, data) in enumerate(zip(stream.blocks, blocks, strict=True)):
        where = f"block {place} of {what}"
        found[at : at + block.count] = _decoded(
            data, block.count, stream.width, stream.columns, where
        ).view(np.uint32)
        at += block.count
    return found


def _decoded(data: bytes, count: int, width: int, columns: int, what: str) -> Integers:
    form, rest = data[:1], data[1:]
    if form in {bytes([_CODED]), bytes([_MIXED])}:
        if columns < 1:
            raise PackError(f"{what} says rows of {columns} integers")
        if form == bytes([_CODED]):
            compiled = native_rans()
            return (compiled.decode if compiled else decode_block)(rest, count, columns, what)
        check_mixed(len(rest), count, what)
        mixing = native_mixing()
        return (mixing.decode if mixing else decode_mixed)(rest, count, columns, what)
    raw = expanded(rest, count * width, what) if form == bytes([_LZMA]) else rest
    if form not in {bytes([_STORED]), bytes([_LZMA])}:
        raise PackError(f"{what} has no form that is known: it begins with {form!r}")
    if len(raw) != count * width:
        raise PackError(f"{what} has {len(raw):,} bytes where {count * width:,} must be")
    return np.frombuffer(raw, f"<u{width}").astype(np.uint32).view(np.int32)
