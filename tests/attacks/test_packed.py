"""Damaged and forged packed files are refused with a message: no crash, no hang, no hunger."""

import random
import time
import tracemalloc
from contextlib import suppress

import numpy as np
import pytest
from tests.attacks.packed import (
    blocks_of,
    mixed_blocks,
    model_file,
    onnx_packed,
    resigned,
    with_blocks,
)

from lilliput.core import PackError, disk
from lilliput.pack import Packed, load_packed, native, unpack
from lilliput.pack.block import decode_block
from lilliput.pack.header import Contents, Entry, SourceFile, Stream, write_header
from lilliput.pack.mixing import decode_mixed

MOST_SECONDS = 1.0
BUDGET = 1 << 26


@pytest.fixture(autouse=True)
def _quickly(monkeypatch):
    """Damaged files need not survive a power cut."""
    monkeypatch.setattr(disk, "sync", lambda _: None)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    return [onnx_packed(folder), model_file(folder)]


def read_all(path, out):
    """Reads a file in the way it is meant for; True if it was read."""
    started = time.process_time()
    try:
        packed = Packed.open(path)
        if packed.contents.kind == "file":
            unpack(packed, out / "back")
        else:
            opened = load_packed(path)
            for name in opened:
                opened[name]
    except PackError as error:
        assert str(error)  # noqa: PT017
        return False
    finally:
        assert time.process_time() - started < MOST_SECONDS
    return True


def damage(data, rng):
    """One to three changes: a bit, a byte, bytes left out, put in or swapped, or the end."""
    data = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(max(1, len(data)))
        kind = rng.randrange(6)
        if not data or kind == 0:
            data[at:at] = rng.randbytes(rng.randint(1, 9))
        elif kind == 1:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            data[at] = rng.choice((0, 1, 127, 128, 255))
        elif kind == 3:
            del data[at : at + rng.randint(1, 9)]
        elif kind == 4:
            other = rng.randrange(len(data))
            data[at], data[other] = data[other], data[at]
        else:
            del data[at:]
    return bytes(data)


def run_rounds(files, tmp_path, rounds, forge):
    rng = random.Random(rounds)
    for path in files:
        whole = path.read_bytes()
        packed = Packed.open(path)
        for _ in range(rounds):
            forged = forge(whole, packed, rng, tmp_path / "forged.lil")
            if forged is not None:
                (tmp_path / "forged.lil").write_bytes(forged)
            was_read = read_all(tmp_path / "forged.lil", tmp_path)
            assert not was_read or packed.contents.kind == "model" or same(tmp_path, packed)


def same(folder, packed):
    import hashlib

    digest = hashlib.sha256((folder / "back").read_bytes()).digest()
    return digest == packed.contents.source.sha256


def anywhere(whole, packed, rng, path):
    return damage(whole, rng)


def in_the_header(whole, packed, rng, path):
    """Fields are damaged, and signed."""
    fields = damage(plain_header(packed), rng)
    return (
        resigned(whole[:12] + len(fields).to_bytes(8, "little") + bytes(32) + fields)
        + (whole[packed.data_start :])
    )


def plain_header(packed):
    """The header, not deflated, so that damage reaches its fields."""
    import zlib

    from lilliput.pack.fields import FieldReader, FieldWriter

    made = write_header(packed.contents)
    fields = FieldReader(made, "a header")
    size = fields.number()
    rest = made[fields.at + 1 :]
    plain = zlib.decompress(rest, wbits=-15) if made[fields.at] else rest
    out = FieldWriter()
    out.number(size)
    return bytes(out.data) + b"\0" + plain


def in_the_blocks(whole, packed, rng, path):
    """A block is damaged, and its checksum made anew."""
    payloads = [[list(stream) for stream in payload] for payload in blocks_of(packed)]
    streams = [stream for payload in payloads for stream in payload if stream]
    stream = rng.choice(streams)
    stream[0] = (
        damage(stream[0][:1], rng)
        if rng.random() < 0.1
        else (stream[0][:1] + damage(stream[0][1:], rng))
    )
    with_blocks(packed, payloads, path)


FORGERIES = pytest.mark.parametrize("forge", [anywhere, in_the_header, in_the_blocks])


@FORGERIES
def test_damaged_files_are_refused(files, tmp_path, forge):
    run_rounds(files, tmp_path, 60, forge)


@FORGERIES
@pytest.mark.slow
def test_many_damaged_files_are_refused(files, tmp_path, forge):
    run_rounds(files, tmp_path, 1500, forge)


@pytest.mark.slow
def test_the_numpy_decoder_refuses_them_too(files, tmp_path, monkeypatch):
    from lilliput.pack import stream

    monkeypatch.setattr(stream, "native_decoder", lambda: None)
    run_rounds(files, tmp_path, 300, in_the_blocks)


def test_every_truncation_is_refused(files, tmp_path):
    for path in files:
        whole = path.read_bytes()
        packed = Packed.open(path)
        for end in {*range(0, packed.data_start, 7), *range(packed.data_start, len(whole), 997)}:
            (tmp_path / "cut.lil").write_bytes(whole[:end])
            assert not read_all(tmp_path / "cut.lil", tmp_path)


def test_tensors_before_the_cut_can_be_read(files, tmp_path):
    whole = files[1].read_bytes()
    (tmp_path / "cut.lil").write_bytes(whole[:-100])
    opened, original = load_packed(tmp_path / "cut.lil"), load_packed(files[1])
    assert opened["dead"].equal(original["dead"])
    with pytest.raises(PackError, match=r"tensor 'noise' in cut\.lil is cut off; the tensors"):
        opened["noise"]


@pytest.mark.skipif(native.native_decoder() is None, reason="no C compiler")
@pytest.mark.parametrize("rounds", [150, pytest.param(20_000, marks=pytest.mark.slow)])
def test_both_decoders_say_the_same_of_damaged_blocks(files, rounds):
    rng = random.Random(1)
    blocks = [
        (block[1:], found.count, stream.columns)
        for path in files
        for packed in [Packed.open(path)]
        for entry, payload in zip(packed.contents.entries, blocks_of(packed), strict=True)
        for stream, own in zip(entry.streams, payload, strict=True)
        for found, block in zip(stream.blocks, own, strict=True)
        if block[:1] == b"\1"
    ]
    read = 0
    for _ in range(rounds):
        data, count, columns = rng.choice(blocks)
        data = damage(data[:60], rng) + data[60:] if rng.random() < 0.7 else damage(data, rng)
        answers = []
        for decode in (decode_block, native.native_decoder()):
            answer = None
            with suppress(PackError):
                answer = decode(data, count, columns, "a block")
            answers.append(answer)
        assert (answers[0] is None) == (answers[1] is None)
        if answers[0] is not None:
            read += 1
            np.testing.assert_array_equal(*answers)
    assert read < rounds


@pytest.mark.skipif(native.native_mixing() is None, reason="no C compiler")
@pytest.mark.parametrize("rounds", [3, pytest.param(300, marks=pytest.mark.slow)])
def test_both_say_the_same_of_damaged_mixed_blocks(rounds):
    rng = random.Random(2)
    blocks = [block for block in mixed_blocks() if block[1] < 300]
    for _ in range(rounds):
        data, count, columns = rng.choice(blocks)
        data, answers = damage(data, rng), []
        for decode in (decode_mixed, native.native_mixing().decode):
            answer = None
            with suppress(PackError):
                answer = decode(data, count, columns, "a block").tolist()
            answers.append(answer)
        assert answers[0] == answers[1]


def forged(path, entry, source=None):
    """A file with one tensor, and nothing after the header."""
    import hashlib

    from lilliput.pack.container import MAGIC

    header = write_header(Contents("file" if source else "model", (entry,), source))
    fixed = MAGIC + (1).to_bytes(4, "little") + len(header).to_bytes(8, "little")
    path.write_bytes(fixed + hashlib.sha256(fixed + header).digest() + header)
    return path


def bomb(shape, blocks, **more):
    from lilliput.pack.header import Block

    stream = Stream(1, 1 << 22, tuple(Block(1 << 22, 20, 0) for _ in range(blocks)))
    return Entry("w", "int8", shape, 0, b"", (stream,), bytes(8), **more)


@pytest.mark.parametrize(
    ("entry", "source"),
    [
        (bomb((1 << 40,), 0), None),
        (bomb((1 << 22, 5000), 5000), None),
        (bomb((8,), 400), None),
        (bomb((0, 1 << 40, 1 << 40), 0), None),
        (bomb((1 << 47,), 0, ranges=((0, 1 << 47),)), SourceFile("a", 1 << 47, bytes(32))),
    ],
)
def test_bombs_are_refused_before_room_is_made(entry, source, tmp_path):
    path = forged(tmp_path / "bomb.lil", entry, source)
    tracemalloc.start()
    try:
        with pytest.raises(PackError, match=r"allowed|the shape of tensor|where at most"):
            Packed.open(path)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_a_header_of_zeros_is_no_bomb(tmp_path):
    import hashlib
    import zlib

    from lilliput.pack.container import MAGIC
    from lilliput.pack.fields import FieldWriter

    out = FieldWriter()
    out.number(1 << 25)
    packer = zlib.compressobj(9, wbits=-15)
    header = bytes(out.data) + b"\1" + packer.compress(bytes(1 << 25)) + packer.flush()
    fixed = MAGIC + (1).to_bytes(4, "little") + len(header).to_bytes(8, "little")
    path = tmp_path / "bomb.lil"
    path.write_bytes(fixed + hashlib.sha256(fixed + header).digest() + header)
    tracemalloc.start()
    try:
        with pytest.raises(PackError, match="where at most"):
            Packed.open(path)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_unpacking_takes_no_more_than_it_says(files, tmp_path):
    for path in files:
        packed = Packed.open(path)
        needed = packed.contents.unpacked_bytes
        tracemalloc.start()
        try:
            assert read_all(path, tmp_path)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < needed + (4 << 20)  # one block, tables, and Python itself


def test_a_digest_that_is_another_names_the_tensor(files, tmp_path):
    packed = Packed.open(files[1])
    payloads = blocks_of(packed)
    payloads[-1][0][0] = payloads[-1][0][0][:-1] + b"?"
    path = with_blocks(packed, payloads, tmp_path / "forged.lil")
    with pytest.raises(PackError, match=r"tensor 'noise' in forged\.lil is damaged: the digest of"):
        load_packed(path)["noise"]
    assert load_packed(path)["dead"].any()
