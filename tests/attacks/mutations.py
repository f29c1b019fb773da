"""Ways to damage a packed file; most mend checksums and digests, to get behind them."""

import hashlib
import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from lilliput.pack.container import MAGIC, checksum
from lilliput.pack.fields import FieldReader, FieldWriter
from lilliput.pack.header import DTYPES, Block, Contents, Entry, Stream, parse_header, write_header

__all__ = ["MUTATIONS", "Seed", "damage", "framed", "plain_header", "seed_of"]

FIXED = 52
NUMBERS = (0, 1, 2, 3, 4, 5, 127, 128, 255, 256, 4095, 4096, 65_535, 65_536, 1 << 22)
NUMBERS += ((1 << 22) + 1, 1 << 26, (1 << 31) - 1, 1 << 32, 1 << 48, (1 << 48) + 1, (1 << 64) - 1)


@dataclass(frozen=True, eq=False)
class Seed:
    """A whole file, and its parts."""

    name: str
    data: bytes
    contents: Contents
    fields: bytes
    blocks: tuple[tuple[tuple[bytes, ...], ...], ...]

    @property
    def rest(self) -> bytes:
        return joined(self.blocks)


def seed_of(name: str, data: bytes) -> Seed:
    """Takes a file apart."""
    size = int.from_bytes(data[12:20], "little")
    contents = parse_header(data[FIXED : FIXED + size], name, 1 << 40)
    at, found = FIXED + size, []
    for entry in contents.entries:
        streams = []
        for stream in entry.streams:
            own = []
            for block in stream.blocks:
                own.append(data[at : at + block.size])
                at += block.size
            streams.append(tuple(own))
        found.append(tuple(streams))
    assert at == len(data)
    return Seed(name, data, contents, plain_header(data[FIXED : FIXED + size]), tuple(found))


def plain_header(made: bytes) -> bytes:
    """The fields of a header, inflated."""
    reader = FieldReader(made, "a header")
    reader.number()
    rest = made[reader.at + 1 :]
    return zlib.decompress(rest, wbits=-15) if made[reader.at] else rest


def framed(header: bytes) -> bytes:
    """What comes before the blocks, its digest right."""
    fixed = MAGIC + (1).to_bytes(4, "little") + len(header).to_bytes(8, "little")
    return fixed + hashlib.sha256(fixed + header).digest() + header


def of_fields(fields: bytes, rng: random.Random) -> bytes:
    """A header of fields, as they are or deflated, that says how many bytes they are."""
    out = FieldWriter()
    out.number(len(fields) if rng.random() < 0.95 else rng.choice(NUMBERS))
    if rng.random() < 0.7:
        return framed(bytes(out.data) + b"\0" + fields)
    packer = zlib.compressobj(1, wbits=-15)
    return framed(bytes(out.data) + b"\1" + packer.compress(fields) + packer.flush())


def joined(blocks: Sequence[Sequence[Sequence[bytes]]]) -> bytes:
    return b"".join(block for streams in blocks for own in streams for block in own)


def damage(data: bytes, rng: random.Random) -> bytes:
    """One to three changes: a bit, a byte, bytes left out, put in or swapped, or the end."""
    found = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(max(1, len(found)))
        kind = rng.randrange(6)
        if not found or kind == 0:
            found[at:at] = rng.randbytes(rng.randint(1, 9))
        elif kind == 1:
            found[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            found[at] = rng.choice((0, 1, 2, 3, 127, 128, 255))
        elif kind == 3:
            del found[at : at + rng.randint(1, 9)]
        elif kind == 4:
            other = rng.randrange(len(found))
            found[at], found[other] = found[other], found[at]
        else:
            del found[at:]
    return bytes(found)


def bit_flip(seed: Seed, rng: random.Random, others: Sequence[Seed]) -> bytes:
    data = bytearray(seed.data)
    for _ in range(rng.randint(1, 8)):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def truncation(seed: Seed, rng: random.Random, others: Sequence[Seed]) -> bytes:
    return seed.data[: rng.randrange(len(seed.data))]


def splice(seed: Seed, rng: random.Random, others: Sequence[Seed]) -> bytes:
    """The front of a file and the end of another, or the header of one with another's blocks."""
    other = rng.choice(others)
    if rng.random() < 0.5:
        return seed.data[: len(seed.data) - len(seed.rest)] + other.rest
    front = seed.data[: rng.randrange(len(seed.data))]
    return front + other.data[rng.randrange(len(other.data)) :]


def fields(seed: Seed, rng: random.Random, others: Sequence[Seed]) -> bytes:
    """The header's fields damaged, its digest mended."""
    return of_fields(damage(seed.fields, rng), rng) + seed.rest


def lengths(seed: Seed, rng: random.Random, others: Sequence[Seed]) -> bytes:
    """Sizes, counts and kinds that the header says are others, all digests mended."""
    entries = list(seed.contents.entries)
    for _ in range(rng.randint(1, 2)):
        place = rng.randrange(len(entries))
        entries[place] = edited(entries[place], rng)
    if rng.random() < 0.1:
        entries.insert(rng.randrange(len(entries)), rng.choice(entries))
    contents = replace(seed.contents, entries=tuple(entries))
    if contents.source and rng.random() < 0.1:
        size = other_number(contents.source.size, rng)
        contents = replace(contents, source=replace(contents.source, size=size))
    return framed(write_header(contents)) + seed.rest


def other_number(value: int, rng: random.Random) -> int:
    near = (value + 1, abs(value - 1), 2 * value, value // 2)
    return min(rng.choice(NUMBERS if rng.random() < 0.5 else near), NUMBERS[-1])


def edited(entry: Entry, rng: random.Random) -> Entry:
    """One fact of an entry is another."""
    kinds: dict[str, Callable[[], object]] = {
        "shape": lambda: edited_shape(entry, rng),
        "coding": lambda: rng.randrange(8),
        "dtype": lambda: rng.choice(DTYPES),
        "settings": lambda: damage(entry.settings, rng),
        "ranges": lambda: edited_ranges(entry, rng),
        "streams": lambda: edited_streams(entry, rng),
    }
    kind = rng.choice(["shape", "coding", "dtype", "settings", "ranges", "streams", "streams"])
    return replace(entry, **{kind: kinds[kind]()})


def edited_shape(entry: Entry, rng: random.Random) -> tuple[int, ...]:
    if not entry.shape or rng.random() < 0.3:
        return tuple(rng.sample((1, 2, 3, 4, 5, 6), rng.randint(0, 4)))
    axis = rng.randrange(len(entry.shape))
    other = other_number(entry.shape[axis], rng)
    return (*entry.shape[:axis], other, *entry.shape[axis + 1 :])


def edited_ranges(entry: Entry, rng: random.Random) -> tuple[tuple[int, int], ...]:
    if not entry.ranges:
        return ()
    place = rng.randrange(len(entry.ranges))
    start, length = entry.ranges[place]
    other = min(other_number(length, rng), 1 << 60)
    after = [(at + other - length, size) for at, size in entry.ranges[place + 1 :]]
    return (*entry.ranges[:place], (start, other), *after)


def edited_streams(entry: Entry, rng: random.Random) -> tuple[Stream, ...]:
    streams = list(entry.streams)
    if not streams:
        return (Stream(1, 1, ()),)
    place = rng.randrange(len(streams))
    if rng.random() < 0.4:
        streams[place : place + rng.randint(0, 1)] = rng.sample(streams, rng.randint(0, 1))
    else:
        streams[place] = edited_stream(streams[place], rng)
    return tuple(streams)


def edited_stream(stream: Stream, rng: random.Random) -> Stream:
    kind = rng.randrange(4)
    if kind == 0:
        return replace(stream, width=rng.choice((0, 1, 2, 3, 4)))
    if kind == 1 or not stream.blocks:
        return replace(stream, columns=other_number(stream.columns, rng))
    blocks = list(stream.blocks)
    place = rng.randrange(len(blocks))
    block = blocks[place]
    if kind == 2:
        blocks[place] = replace(block, count=other_number(block.count, rng))
    else:
        blocks[place] = replace(block, size=other_number(block.size, rng))
    return replace(stream, blocks=tuple(blocks))


def blocks(seed: Seed, rng: random.Random, others: Sequence[Seed]) -> bytes:
    """A block is damaged, or one of another file; its size and checksum are mended."""
    found = [[list(own) for own in streams] for streams in seed.blocks]
    stream = rng.choice([own for streams in found for own in streams if own])
    place = rng.randrange(len(stream))
    block = stream[place]
    kind = rng.random()
    if kind < 0.1:
        stream[place] = bytes([rng.randrange(5)]) + block[1:]
    elif kind < 0.2:
        stream[place] = rng.choice(every_block(rng.choice(others)))
    elif kind < 0.5:  # tables and other fields are in front
        stream[place] = block[:1] + damage(block[1:40], rng) + block[40:]
    else:
        stream[place] = block[:1] + damage(block[1:], rng)
    return with_blocks(seed.contents, found)


def every_block(seed: Seed) -> list[bytes]:
    return [block for streams in seed.blocks for own in streams for block in own]


def with_blocks(contents: Contents, found: Sequence[Sequence[Sequence[bytes]]]) -> bytes:
    """A file of the same tensors with other blocks, whose sizes and checksums are right."""
    entries = [
        replace(
            entry,
            streams=tuple(
                replace(
                    stream,
                    blocks=tuple(
                        Block(block.count, len(data), checksum(data))
                        for block, data in zip(stream.blocks, own, strict=True)
                    ),
                )
                for stream, own in zip(entry.streams, streams, strict=True)
            ),
        )
        for entry, streams in zip(contents.entries, found, strict=True)
    ]
    return framed(write_header(replace(contents, entries=tuple(entries)))) + joined(found)


def random_header(seed: Seed, rng: random.Random, others: Sequence[Seed]) -> bytes:
    """Fields at random, framed as they should be."""
    size = rng.randrange(120)
    few = bytes(rng.choice((0, 1, 1, 2, 3, 4, 8, 127, 128, 255)) for _ in range(size))
    made = rng.randbytes(size) if rng.random() < 0.3 else few
    front = seed.fields[: rng.randrange(len(seed.fields))] if rng.random() < 0.5 else b""
    return of_fields(front + made, rng) + rng.randbytes(rng.randrange(60))


def random_tensor(seed: Seed, rng: random.Random, others: Sequence[Seed]) -> bytes:
    """A tensor of likely facts whose block is a known form and then anything."""
    count = rng.choice((0, 1, 7, 64, 1000))
    dtype = rng.choice(DTYPES)
    width = rng.choice((1, 2, 4))
    coding = rng.randrange(5)
    streams, data = [], []
    for _ in range(rng.randint(1, 2)):
        known = rng.choice(every_block(rng.choice(others)))
        raw = bytes([rng.randrange(4)]) + rng.randbytes(min(width * count, rng.randrange(80)))
        own = damage(known, rng) if rng.random() < 0.5 else raw
        own = own[: 1 + width * count]
        block = Block(count, len(own), checksum(own))
        streams.append(Stream(width, rng.choice((0, 1, 8, 64)), (block,)))
        data.append(own)
    entry = Entry("w", dtype, (count,), coding, b"", tuple(streams), bytes(8))
    return framed(write_header(Contents("model", (entry,)))) + b"".join(data)


Mutation = Callable[[Seed, random.Random, Sequence[Seed]], bytes]
MUTATIONS: dict[str, Mutation] = {
    "bit flips": bit_flip,
    "truncation": truncation,
    "splice": splice,
    "fields of the header": fields,
    "lengths and kinds": lengths,
    "blocks": blocks,
    "random header": random_header,
    "random tensor": random_tensor,
}
