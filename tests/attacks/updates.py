"""Ways to damage an update; most mend checksums and digests, to get behind them."""

import io
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from unittest.mock import patch

import torch
from tests.attacks.mutations import (
    FIXED,
    damage,
    edited,
    edited_stream,
    framed,
    joined,
    of_fields,
    other_number,
    plain_header,
)
from tests.attacks.packed import mixed_model, state, tiny_file

from lilliput.core import PackError
from lilliput.pack import Quantized, delta, pack, pack_model
from lilliput.pack.codings import Array, digest
from lilliput.pack.container import checksum
from lilliput.pack.header import Block, Stream, write_header
from lilliput.pack.updates.apply import Applied
from lilliput.pack.updates.base import Base
from lilliput.pack.updates.header import DIFFERENT, How, Update, read_update

__all__ = ["UPDATE_MUTATIONS", "UpdateSeed", "mended_update", "update_seeds"]


@dataclass(frozen=True, eq=False)
class UpdateSeed:
    """A whole update, the file that it needs, and its parts."""

    name: str
    data: bytes
    base: Path
    update: Update
    blocks: tuple[tuple[bytes, ...], ...]
    stored: bytes

    @property
    def rest(self) -> bytes:
        return joined([self.blocks]) + self.stored


def update_seeds(folder: Path) -> list[UpdateSeed]:
    """Updates of a model, of a file, and of a model of mixed blocks."""
    (folder / "old").mkdir(exist_ok=True)
    old, new = state(6, 40), state(6, 40)
    for name in ("dead", "far"):
        integers = old[name].integers.clone()
        integers[::5] += 1
        new[name] = Quantized(integers, 0.1)
    new["floats"] = new["floats"] * 1.01
    new["grid"] = old["grid"] + (old["grid"] > 0) / 8
    new["more"] = torch.ones(3)
    models = [pack_model(s, folder / f"{n}.lil").path for n, s in (("a", old), ("b", new))]
    changed = folder / "tiny.onnx"
    files = [tiny_file(folder / "old"), tiny_file(folder)]
    data = bytearray(changed.read_bytes())
    data[200:260:7] = bytes(9)
    changed.write_bytes(data + b"\x3a\x00")
    files[1] = pack(changed).path
    mixed = [mixed_model(folder / "old"), mixed_model(folder, moved=1)]
    pairs = {"model": models, "file": files, "mixed": mixed}
    return [seed(*pair, folder / name) for name, pair in pairs.items()]


def seed(old: Path, new: Path, out: Path) -> UpdateSeed:
    path = delta(old, new, out.with_suffix(".update.lil"))
    data = path.read_bytes()
    file = io.BytesIO(data)
    update = read_update(file, path.name, len(data), 1 << 40)
    blocks = [tuple(file.read(b.size) for b in s.blocks) for s in update.streams]
    return UpdateSeed(out.name, data, old, update, tuple(blocks), file.read())


def fields(seed: UpdateSeed, rng: random.Random) -> bytes:
    """The header's fields damaged, its digest mended."""
    size = int.from_bytes(seed.data[12:20], "little")
    plain = plain_header(seed.data[FIXED : FIXED + size])
    return of_fields(damage(plain, rng), rng) + seed.rest


def bit_flip(seed: UpdateSeed, rng: random.Random) -> bytes:
    data = bytearray(seed.data)
    for _ in range(rng.randint(1, 8)):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def truncation(seed: UpdateSeed, rng: random.Random) -> bytes:
    return seed.data[: rng.randrange(len(seed.data))]


def ways(seed: UpdateSeed, rng: random.Random) -> bytes:
    """Tensors are made in other ways, or of other parts."""
    found = list(seed.update.ways)
    place = rng.randrange(len(found))
    kind = rng.randrange(4)
    if kind == 0:
        found[place] = How(rng.randrange(3))
    elif kind == 1:
        found[place] = How(2, damage(found[place].settings, rng))
    elif kind == 2:
        numbers = bytes(rng.choice((0, 1, 2, 5, 60, 127)) for _ in range(rng.randrange(9)))
        found[place] = How(2, numbers)
    else:
        rng.shuffle(found)
    return written(replace(seed.update, ways=tuple(found)), seed)


def target(seed: UpdateSeed, rng: random.Random) -> bytes:
    """The new file's header says something else."""
    contents = seed.update.contents
    entries = list(contents.entries)
    place = rng.randrange(len(entries))
    entries[place] = edited(entries[place], rng)
    made = replace(contents, entries=tuple(entries))
    if made.source and rng.random() < 0.2:
        made = replace(made, source=replace(made.source, size=other_number(made.source.size, rng)))
    header = write_header(made)
    if rng.random() < 0.2:
        header = damage(header, rng)
    return written(replace(seed.update, header=header, contents=made), seed)


def streams(seed: UpdateSeed, rng: random.Random) -> bytes:
    """Facts of the update's streams are others."""
    found = list(seed.update.streams)
    place = rng.randrange(len(found))
    found[place] = edited_stream(found[place], rng)
    return written(replace(seed.update, streams=tuple(found)), seed)


def blocks(seed: UpdateSeed, rng: random.Random) -> bytes:
    """A block of the update is damaged, or stored anew, its facts mended."""
    found = [list(own) for own in seed.blocks]
    place = rng.choice([place for place, own in enumerate(found) if own])
    stream = seed.update.streams[place]
    block = rng.randrange(len(found[place]))
    count = stream.blocks[block].count
    kind = rng.random()
    if kind < 0.3:  # what it says, not how it is coded
        raw = rng.randbytes(min(count, 400) * stream.width)
        found[place][block] = b"\0" + raw
        count = min(count, 400)
    elif kind < 0.4:
        found[place][block] = rng.choice([one for own in found for one in own])
    else:
        found[place][block] = damage(found[place][block], rng)
    facts = list(stream.blocks)
    made = found[place][block]
    facts[block] = Block(count, len(made), checksum(made))
    others = list(seed.update.streams)
    others[place] = Stream(stream.width, stream.columns, tuple(facts))
    update = replace(seed.update, streams=tuple(others))
    return written(update, replace(seed, blocks=tuple(tuple(own) for own in found)))


def block_fields(seed: UpdateSeed, rng: random.Random) -> bytes:
    """The fields of blocks that are made anew are damaged, before they are coded."""
    from lilliput.pack.stream import decode_stream

    stream = seed.update.streams[0]
    if not stream.blocks:
        return blocks(seed, rng)
    plain = decode_stream(stream, seed.blocks[0], "it").astype("u1").tobytes()
    made = b"\0" + damage(plain, rng)
    facts = (Block(len(made) - 1, len(made), checksum(made)),)
    others = (Stream(1, stream.columns, facts), *seed.update.streams[1:])
    update = replace(seed.update, streams=others)
    return written(update, replace(seed, blocks=((made,), *seed.blocks[1:])))


def written(update: Update, seed: UpdateSeed) -> bytes:
    return framed(update.write()) + seed.rest


def mended_update(data: bytes, base: Path, most_bytes: int) -> bytes:
    """The update with the digests of what it makes; as it was where it makes nothing."""
    path = base.with_suffix(".mended")
    path.write_bytes(data)
    found: list[bytes] = []

    def record(values: Array) -> Equal:
        found.append(digest(values))
        return Equal()

    with suppress(PackError), patch("lilliput.pack.updates.apply.digest", record):
        applied = Applied(Base.open(base, most_bytes), path, most_bytes)
        update, made = applied.update, bytes(applied.data)
        entries = list(update.contents.entries)
        different = [place for place, how in enumerate(update.ways) if how.way == DIFFERENT]
        for place, own in zip(different, found, strict=True):
            entries[place] = replace(entries[place], digest=own)
        contents = replace(update.contents, entries=tuple(entries))
        if contents.source:
            source = replace(contents.source, sha256=sha256(made).digest())
            contents = replace(contents, source=source)
        header = write_header(contents)
        made = framed(header) + made[len(framed(update.header)) :]
        update = replace(update, header=header, result=sha256(made).digest())
        size = int.from_bytes(data[12:20], "little")
        return framed(update.write()) + data[FIXED + size :]
    return data


class Equal:
    """Equal to every digest."""

    def __ne__(self, other: object) -> bool:
        return False


Mutation = Callable[[UpdateSeed, random.Random], bytes]
UPDATE_MUTATIONS: dict[str, Mutation] = {
    "bit flips": bit_flip,
    "truncation": truncation,
    "fields of the header": fields,
    "ways": ways,
    "the new header": target,
    "lengths": streams,
    "blocks": blocks,
    "fields of blocks": block_fields,
}
