"""The container gives back what was put in, tensor by tensor, and refuses what is not whole."""

import io
from dataclasses import replace

import pytest

from lilliput.core import PackError
from lilliput.pack.codings import COPY
from lilliput.pack.container import (
    MAGIC,
    Packed,
    checksum,
    read_stream,
    write_framed,
    write_packed,
)
from lilliput.pack.header import (
    Block,
    Contents,
    Entry,
    SourceFile,
    Stream,
    write_header,
)

BLOCKS = {"first": [[b"abc", b"defg"], [b""]], "second": [[b"\0" * 50]]}


def entry(name, streams, ranges=()):
    made = tuple(
        Stream(1, 4, tuple(Block(len(b), len(b), checksum(b)) for b in blocks))
        for blocks in streams
    )
    count = sum(len(block) for blocks in streams for block in blocks)
    return Entry(name, "int8", (count,), 0, b"set", made, b"12345678", 0.0, ranges)


@pytest.fixture
def contents():
    return Contents("model", tuple(entry(*pair) for pair in BLOCKS.items()))


@pytest.fixture
def path(tmp_path, contents):
    write_packed(tmp_path / "net.lil", contents, list(BLOCKS.values()))
    return tmp_path / "net.lil"


def test_the_header_comes_back(path, contents):
    assert Packed.open(path).contents == contents


def test_the_header_of_a_file_comes_back(tmp_path):
    ranges = (((0, 3), (57, 4)), ((3, 54),))
    entries = (entry("a", [[b"1234567"]], ranges[0]), entry("b", [[b"\0" * 54]], ranges[1]))
    contents = Contents("file", entries, SourceFile("net.tflite", 61, b"\7" * 32))
    write_packed(tmp_path / "net.lil", contents, [[[b"1234567"]], [[b"\0" * 54]]])
    assert Packed.open(tmp_path / "net.lil").contents == contents


def test_a_tensor_is_read_without_the_others(path):
    packed = Packed.open(path)
    data = bytearray(path.read_bytes())
    data[packed.data_start : packed.data_start + 7] = b"damaged"
    path.write_bytes(data)
    assert packed.blocks(packed.contents.entries[1]) == BLOCKS["second"]
    with pytest.raises(PackError, match=r"block 0 of 2 of tensor 'first' in net\.lil is damaged"):
        packed.blocks(packed.contents.entries[0])


def test_it_is_read_as_it_arrives(path):
    whole = path.read_bytes()
    _, entries = read_stream(io.BytesIO(whole), "net", 1 << 20)
    assert {found.name: blocks for found, blocks in entries} == BLOCKS
    _, entries = read_stream(io.BytesIO(whole[:-1]), "net", 1 << 20)
    assert next(entries)[1] == BLOCKS["first"]
    with pytest.raises(PackError, match="block 0 of 1 of tensor 'second' in net is cut off"):
        next(entries)


def refused(path, data, budget=None):
    path.write_bytes(data)
    with pytest.raises(PackError) as error:
        Packed.open(path, budget)
    return str(error.value)


def test_what_is_not_whole_is_refused(path):
    whole = path.read_bytes()
    assert "no packed file" in refused(path, b"PK" + whole[2:])
    assert "no packed file" in refused(path, whole.replace(b"\r\n", b"\n"))
    assert "its first 52 bytes" in refused(path, whole[:51])
    assert "of version 2, this reads 1" in refused(path, whole[:8] + b"\2" + whole[9:])
    assert "more than 67,108,864" in refused(path, whole[:12] + b"\xff" * 8 + whole[20:])
    assert "cut off in its header" in refused(path, whole[:60])
    assert "its digest is another" in refused(path, whole[:55] + b"?" + whole[56:])
    assert "1 bytes after its end" in refused(path, whole + b"?")
    assert "cannot read" in refused_missing(path)


def refused_missing(path):
    path.unlink()
    with pytest.raises(PackError) as error:
        Packed.open(path)
    return str(error.value)


def test_a_budget_is_kept_before_anything_is_made(path, contents):
    needed = contents.unpacked_bytes
    assert needed == 57 * 5  # each integer of one byte takes four more while it is decoded
    assert Packed.open(path, 8000).contents == contents
    huge = Entry("huge", "float64", (1 << 40,), 0, b"", (), b"12345678")
    write_packed(path, Contents("model", (huge,)), [[]])
    message = refused(path, path.read_bytes())
    assert "unpacks to 8,796,093,022,208 bytes, at most 67,108,864 are allowed" in message
    assert "--most-bytes" in message


def test_headers_that_make_no_sense(tmp_path):
    path = tmp_path / "net.lil"
    source = SourceFile("a", 10, b"\0" * 32)

    def made(kind, *entries, source=None):
        write_framed(path, write_header(Contents(kind, entries, source)), [])
        return refused(path, path.read_bytes())

    one, two = entry("a", [], ((0, 4),)), entry("b", [], ((3, 7),))
    assert "names a tensor twice" in made("model", one, one)
    assert "makes twice what is at 3" in made("file", one, two, source=source)
    assert "makes 4 bytes of the file's 10" in made("file", one, source=source)


def test_nothing_begins_like_it():
    assert MAGIC[0] >= 128  # no text
    assert MAGIC not in b"".join(bytes([i]) for i in range(256))


def copy_of(place, first, **more):
    made = Entry("second", first.dtype, first.shape, COPY, bytes([place]), (), first.digest)
    return replace(made, origin=first, **more)


def test_a_copy_has_the_blocks_of_the_first(tmp_path):
    first = entry("first", BLOCKS["first"])
    contents = Contents("model", (first, copy_of(0, first), entry("third", [[b"xyz"]])))
    path = tmp_path / "net.lil"
    write_packed(path, contents, [BLOCKS["first"], [], [[b"xyz"]]])
    packed = Packed.open(path)
    assert packed.contents == contents
    found = [packed.blocks(one) for one in packed.contents.entries]
    assert found == [BLOCKS["first"], BLOCKS["first"], [[b"xyz"]]]
    _, entries = read_stream(io.BytesIO(path.read_bytes()), "net", 1 << 20)
    assert [blocks for _, blocks in entries] == found


@pytest.mark.parametrize(
    ("place", "more"),
    [
        (1, {}),
        (5, {}),
        (0, {"dtype": "uint8"}),
        (0, {"shape": (6,)}),
        (0, {"digest": b"another!"}),
        (0, {"streams": (Stream(1, 4, ()),)}),
    ],
)
def test_a_copy_of_what_is_not_there_is_refused(tmp_path, place, more):
    first = entry("first", BLOCKS["first"])
    contents = Contents("model", (first, copy_of(place, first, **more)))
    path = tmp_path / "net.lil"
    write_framed(path, write_header(contents), [b"abcdefg"])
    with pytest.raises(PackError, match="'second' is a copy of none there is"):
        Packed.open(path)
    before = path.read_bytes()
    with pytest.raises(PackError, match="'second' is a copy of none there is"):
        write_packed(path, contents, [BLOCKS["first"], []])
    assert path.read_bytes() == before
