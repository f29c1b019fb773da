"""The example of docs/format.md is a file that is read, and written, as the page says."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from lilliput.pack import stream
from lilliput.pack.container import Packed, write_packed
from lilliput.pack.header import Contents
from lilliput.pack.native_rans import native_rans
from lilliput.pack.restore import array_of

PAGE = Path(__file__).parents[2] / "docs" / "format.md"


@pytest.fixture
def example():
    dump, table = re.findall(r"```\n(.*?)```", PAGE.read_text(), re.S)[-2:]
    data = bytes.fromhex("".join(line[5:] for line in dump.splitlines()))
    return data, np.array([line.split() for line in table.splitlines()], np.int8)


@pytest.mark.parametrize("decoder", ["native", "numpy"])
def test_the_example_decodes_to_the_table(example, decoder, tmp_path, monkeypatch):
    if decoder == "numpy":
        monkeypatch.setattr(stream, "native_rans", lambda: None)
    data, values = example
    (tmp_path / "example.lil").write_bytes(data)
    packed = Packed.open(tmp_path / "example.lil")
    (entry,) = packed.contents.entries
    assert (entry.name, entry.step) == ("w", 0.25)
    np.testing.assert_array_equal(array_of(entry, packed.blocks(entry), "example"), values)


def test_the_table_is_coded_as_in_the_example(example, tmp_path):
    from lilliput.pack.arrays import NamedArray, encode_arrays

    data, values = example
    entries, payloads = encode_arrays([NamedArray("w", values, "int8", 0.25)])
    write_packed(tmp_path / "example.lil", Contents("model", tuple(entries)), payloads)
    assert (tmp_path / "example.lil").read_bytes() == data


def test_the_page_tells_what_is_where(example):
    data, _ = example
    assert data[56:58] == b"\x01w"
    assert int.from_bytes(data[12:20], "little") == 38
    assert np.frombuffer(data[82:90], "<f8")[0] == 0.25
    assert int.from_bytes(data[120:124], "little") == 7_937_509
    assert torch.frombuffer(bytearray(data[124:138]), dtype=torch.int16).shape == (7,)


def test_there_is_a_compiled_decoder_where_there_is_a_compiler():
    import shutil

    assert (native_rans() is not None) == any(map(shutil.which, ("cc", "gcc", "clang")))
