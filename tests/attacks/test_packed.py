"""Damaged and forged packed files are refused with a message: no crash, no hang, no hunger."""

import random
import time
import tracemalloc
from contextlib import suppress

import numpy as np
import pytest
from tests.attacks.attack import limited, read, reason_of
from tests.attacks.mutations import MUTATIONS, damage, framed, seed_of, with_blocks
from tests.attacks.packed import blocks_of, mixed_blocks, model_file, onnx_packed

from lilliput.core import PackError, disk
from lilliput.pack import Packed, load_packed
from lilliput.pack.block import decode_block
from lilliput.pack.container import checksum, write_packed
from lilliput.pack.header import Block, Contents, Entry, SourceFile, Stream, write_header
from lilliput.pack.mixing import Head, decode_mixed
from lilliput.pack.native import native_mixing
from lilliput.pack.native_rans import native_rans


@pytest.fixture(autouse=True)
def _quickly(monkeypatch):
    """Damaged files need not survive a power cut."""
    monkeypatch.setattr(disk, "sync", lambda _: None)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    return [onnx_packed(folder), model_file(folder)]


def read_all(path):
    """Whether a file can be read in the way it is meant for, in time."""
    with limited():
        return reason_of(lambda: read(path)) == "opened"


@pytest.mark.parametrize("rounds", [12, pytest.param(2000, marks=pytest.mark.slow)])
def test_the_numpy_decoder_refuses_damaged_blocks_too(files, rounds, tmp_path, monkeypatch):
    from lilliput.pack import stream

    monkeypatch.setattr(stream, "native_rans", lambda: None)
    rng = random.Random(2)
    seeds = [seed_of(path.stem, path.read_bytes()) for path in files]
    read_ = 0
    for _ in range(rounds):
        path = tmp_path / "forged.lil"
        path.write_bytes(MUTATIONS["blocks"](rng.choice(seeds), rng, seeds))
        with limited(60):  # types are checked all along
            read_ += reason_of(lambda: read(path)) == "opened"  # noqa: B023
    assert read_ < rounds


def test_every_truncation_is_refused(files, tmp_path):
    for path in files:
        whole = path.read_bytes()
        packed = Packed.open(path)
        for end in {*range(0, packed.data_start, 7), *range(packed.data_start, len(whole), 997)}:
            (tmp_path / "cut.lil").write_bytes(whole[:end])
            assert not read_all(tmp_path / "cut.lil")


def test_tensors_before_the_cut_can_be_read(files, tmp_path):
    whole = files[1].read_bytes()
    (tmp_path / "cut.lil").write_bytes(whole[:-100])
    opened, original = load_packed(tmp_path / "cut.lil"), load_packed(files[1])
    assert opened["dead"].equal(original["dead"])
    with pytest.raises(
        PackError, match=r"tensor 'noise' in cut\.lil is cut off; `lilliput inspect`"
    ):
        opened["noise"]


@pytest.mark.skipif(native_rans() is None, reason="no C compiler")
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
        for decode in (decode_block, native_rans().decode):
            answer = None
            with suppress(PackError):
                answer = decode(data, count, columns, "a block")
            answers.append(answer)
        assert (answers[0] is None) == (answers[1] is None)
        if answers[0] is not None:
            read += 1
            np.testing.assert_array_equal(*answers)
    assert read < rounds


@pytest.mark.skipif(native_mixing() is None, reason="no C compiler")
@pytest.mark.parametrize("rounds", [3, pytest.param(300, marks=pytest.mark.slow)])
def test_both_say_the_same_of_damaged_mixed_blocks(rounds):
    rng = random.Random(2)
    blocks = [block for block in mixed_blocks() if block[1] < 300]
    for _ in range(rounds):
        data, count, columns = rng.choice(blocks)
        data, answers = damage(data, rng), []
        for decode in (decode_mixed, native_mixing().decode):
            answer = None
            with suppress(PackError):
                answer = decode(data, count, columns, "a block").tolist()
            answers.append(answer)
        assert answers[0] == answers[1]


def forged(path, entry, source=None):
    """A file with one tensor, and nothing after the header."""
    path.write_bytes(
        framed(write_header(Contents("file" if source else "model", (entry,), source)))
    )
    return path


def bomb(shape, blocks, **more):
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


def mixed_file(path, count, data, blocks=1):
    """A file of one tensor, coded in equal mixed blocks."""
    data = b"\3" + data
    own = tuple(Block(count, len(data), checksum(data)) for _ in range(blocks))
    streams = (Stream(1, 512, own),)
    entry = Entry("w", "int8", (blocks * count,), 0, b"", streams, bytes(8))
    write_packed(path, Contents("model", (entry,), None), [[[data] * blocks]])
    return path


@pytest.mark.skipif(native_mixing() is None, reason="no C compiler")
@pytest.mark.parametrize("size", [20, 4000, 65_535])
def test_a_mixed_block_of_many_cheap_integers_is_refused(size, tmp_path):
    path = mixed_file(tmp_path / "cheap.lil", 1 << 22, bytes(size))
    with pytest.raises(PackError, match="mixes 4,194,304 integers in"):
        load_packed(path)["w"]
    with pytest.raises(PackError):
        native_mixing().decode(bytes(size), 64 * size + 1, 512, "a block")


@pytest.mark.skipif(native_mixing() is None, reason="no C compiler")
def test_a_small_file_of_the_costliest_mixed_blocks_takes_no_second(tmp_path):
    """Rows of 512 columns, all foretold, and as few as are needed for a factorization."""
    head, count = Head(0, False, 512, (1, 2, 3, 4)), 33 * 512
    data = native_mixing().encode(np.zeros(count, np.int32), 512, head, 1000)
    data += bytes(-(-count // 64) - len(data))  # decoded to the end, then refused
    path = mixed_file(tmp_path / "costly.lil", count, data, 16)
    assert path.stat().st_size > 4000
    opened, start = load_packed(path), time.process_time()
    with pytest.raises(PackError, match="does not end where it must"):
        opened["w"]
    assert 16 * (time.process_time() - start) < 1  # of all blocks, had the first not been refused


def test_a_header_of_zeros_is_no_bomb(tmp_path):
    import zlib

    from lilliput.pack.fields import FieldWriter

    out = FieldWriter()
    out.number(1 << 25)
    packer = zlib.compressobj(9, wbits=-15)
    header = bytes(out.data) + b"\1" + packer.compress(bytes(1 << 25)) + packer.flush()
    path = tmp_path / "bomb.lil"
    path.write_bytes(framed(header))
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
            assert read_all(path)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < needed + (4 << 20)  # one block, tables, and Python itself


def test_a_digest_that_is_another_names_the_tensor(files, tmp_path):
    packed = Packed.open(files[1])
    payloads = blocks_of(packed)
    payloads[-1][0][0] = payloads[-1][0][0][:-1] + b"?"
    path = tmp_path / "forged.lil"
    path.write_bytes(with_blocks(packed.contents, payloads))
    with pytest.raises(PackError, match=r"tensor 'noise' in forged\.lil is damaged: the digest of"):
        load_packed(path)["noise"]
    assert load_packed(path)["dead"].any()
