"""One attack after another on whole packed files, by number: what became of each."""

import hashlib
import random
import signal
from collections.abc import Callable, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tests.attacks.mutations import FIXED, MUTATIONS, Seed, framed, seed_of
from tests.attacks.packed import mixed_model, small_model, tiny_file
from tests.attacks.updates import UPDATE_MUTATIONS, UpdateSeed, mended_update, update_seeds

from lilliput.core import PackError
from lilliput.pack import Packed, PackedModel, apply_delta, unpack
from lilliput.pack.codings import NATIVE, digest
from lilliput.pack.header import Entry, parse_header, write_header
from lilliput.pack.restore import joined
from lilliput.pack.stream import decode_stream

__all__ = [
    "BUDGET",
    "MOST_SECONDS",
    "Outcome",
    "Seeds",
    "TooSlow",
    "attack",
    "attack_update",
    "limited",
    "read",
    "reason_of",
]

BUDGET = 1 << 22
"""Bytes that a file may unpack to."""
MOST_SECONDS = 1.0
"""Time of the processor that a file may take."""
_REASONS = {
    "needs the file whose": "an update of another file",
    "is an update of another": "an update without its file",
    "is no update": "no update",
    "it makes another file": "digest of the file",
    "does not begin with": "does not begin as a packed file",
    "is of version": "another version",
    "the digest of its integers": "digest of a tensor",
    "unpacks to another file": "digest of the file",
    "its digest is another": "digest of the header",
    "its checksum is another": "checksum of a block",
    "are allowed": "over the budget",
    "more than 67,108,864": "a header too large",
    "where at most": "a number too large",
    "number without an end": "a number too large",
    "cut off": "cut off",
    "ends too early": "cut off",
    "not as long as it says": "a length that is another",
    "bytes after": "bytes left over",
    "the step of": "a step that cannot be",
    "no UTF-8": "a name that is no text",
    "names a tensor twice": "a name that is there twice",
    "that is known": "a form or coding that is not known",
    "way that is not known": "a form or coding that is not known",
    "integers of": "a width that cannot be",
    "says rows of": "a width that cannot be",
    "the shape of": "a shape that cannot be",
    "its shape": "a shape that is another",
    "size of its places": "places that are others",
    "leaves out or makes twice": "places that are others",
    "bytes of the file's": "places that are others",
    "mixes": "too few bytes for so many integers",
    "is damaged": "a damaged code",
}
_OTHER = "parts that do not fit together"


class TooSlow(BaseException):
    """A file took more than its time; no `except Exception` may hide it."""


@dataclass(frozen=True)
class Outcome:
    """What became of a file: opened, or refused and why."""

    mutation: str
    reason: str


@dataclass(frozen=True, eq=False)
class Seeds:
    """Small whole files: a model with all codings, a file with arrays, text and products, a model
    of mixed blocks, and updates of all.
    """

    files: list[Seed]
    updates: list[UpdateSeed]

    @classmethod
    def made_in(cls, folder: Path) -> "Seeds":
        paths = [small_model(folder), tiny_file(folder)]
        files = [seed_of(path.stem, path.read_bytes()) for path in paths]
        mixed = mixed_model(folder)  # takes longest, so it is taken least
        files = [*files, *files, *files, seed_of(mixed.stem, mixed.read_bytes())]
        return cls(files, update_seeds(folder))


@contextmanager
def limited(seconds: float = MOST_SECONDS):
    """Raises `TooSlow` where what is inside takes longer, in time of the processor."""

    def stop(*_: object) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def attack(seeds: Seeds, number: int, folder: Path) -> Outcome:
    """Makes the file of a number, and reads it as a user would.

    Anything raised besides `PackError` is a finding; the file is then in the folder.
    """
    rng = random.Random(number)
    path = folder / "attack.lil"
    name = rng.choice(list(MUTATIONS))
    data = MUTATIONS[name](rng.choice(seeds.files), rng, seeds.files)
    path.write_bytes(data)
    if rng.random() < 0.3:
        with limited():
            path.write_bytes(mended(data))
    with limited():
        return Outcome(name, reason_of(lambda: read(path)))


def attack_update(seeds: Seeds, number: int, folder: Path) -> Outcome:
    """The same of an update."""
    rng = random.Random(number)
    path = folder / "attack.lil"
    name = rng.choice(list(UPDATE_MUTATIONS))
    seed = rng.choice(seeds.updates)
    data = UPDATE_MUTATIONS[name](seed, rng)
    path.write_bytes(data)
    base = rng.choice(seeds.updates).base if rng.random() < 0.02 else seed.base
    if rng.random() < 0.3:
        with limited():
            path.write_bytes(mended_update(data, base, BUDGET))
    with limited():
        out = path.with_suffix(".back")
        return Outcome(name, reason_of(lambda: apply_delta(base, path, out, BUDGET)))


def read(path: Path) -> None:
    """All of a file, in the way it is meant for."""
    packed = Packed.open(path, BUDGET)
    if packed.contents.kind == "file":
        unpack(packed, path.with_suffix(".back"))
    else:
        for _ in PackedModel(packed).items():
            pass


def reason_of(reading: Callable[[], object]) -> str:
    """`opened`, or the kind of refusal."""
    try:
        reading()
    except PackError as error:
        text = str(error)
        return next((kind for part, kind in _REASONS.items() if part in text), _OTHER)
    return "opened"


def mended(data: bytes) -> bytes:
    """The file with digests of what its blocks decode to; as it was where they do not."""
    size = int.from_bytes(data[12:20], "little")
    with suppress(PackError, AssertionError):
        contents = parse_header(data[FIXED : FIXED + size], "a file", BUDGET)
        if contents.unpacked_bytes > BUDGET:
            return data
        seed = seed_of("a file", data)
        entries: list[tuple[Entry, bytes]] = []
        for entry, blocks in zip(contents.entries, seed.blocks, strict=True):
            before = next((pair for pair in entries if pair[0].name == origin_of(entry)), None)
            entries.append(
                mended_entry(entry, blocks) if before is None else copied(entry, *before)
            )
        found = replace(contents, entries=tuple(entry for entry, _ in entries))
        if found.source:
            whole = bytearray(found.source.size)
            for entry, raw in entries:
                at = 0
                for start, length in entry.ranges:
                    whole[start : start + length] = raw[at : at + length]
                    at += length
            source = replace(found.source, sha256=hashlib.sha256(whole).digest())
            found = replace(found, source=source)
        return framed(write_header(found)) + seed.rest
    return data


def origin_of(entry: Entry) -> str | None:
    return entry.origin.name if entry.origin else None


def copied(entry: Entry, origin: Entry, raw: bytes) -> tuple[Entry, bytes]:
    return replace(entry, digest=origin.digest, origin=origin), raw


def mended_entry(entry: Entry, blocks: Sequence[Sequence[bytes]]) -> tuple[Entry, bytes]:
    dtype = np.dtype(NATIVE.get(entry.dtype, entry.dtype))
    streams = [decode_stream(*pair, "it") for pair in zip(entry.streams, blocks, strict=True)]
    values = joined(entry, streams, dtype, "it").view(dtype)
    return replace(entry, digest=digest(values)), values.tobytes()
