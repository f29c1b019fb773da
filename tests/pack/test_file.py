"""Finished files come back byte for byte, and packed take less than xz and zstd make of them."""

import math
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from tests.pack.nets import clustered, onnx_file, others, pruned, tflite_file

from lilliput.core import PackError
from lilliput.pack import pack, unpack
from lilliput.pack.container import Packed
from lilliput.pack.files import FINDERS


def packed(path, out):
    """Packs, unpacks, compares; gives the packed file."""
    made = pack(path, out / "packed.lil")
    back = unpack(Packed.open(made.path), out / "back")
    assert back.read_bytes() == path.read_bytes()
    return made


def size_of(found):
    return found.path.stat().st_size


@pytest.mark.parametrize("layers", [pruned, clustered])
def test_a_tflite_file_takes_less_than_elsewhere(layers, tmp_path):
    pytest.importorskip("ai_edge_litert")
    path = tflite_file(tmp_path / "net.tflite", layers())
    assert size_of(packed(path, tmp_path)) < 0.95 * min(others(path).values())


@pytest.mark.parametrize("layers", [pruned, clustered])
def test_an_onnx_file_takes_less_than_elsewhere(layers, tmp_path):
    path = onnx_file(tmp_path / "net.onnx", layers())
    assert size_of(packed(path, tmp_path)) < 0.95 * min(others(path).values())


def test_a_safetensors_file_takes_less_than_elsewhere(tmp_path):
    rng = np.random.default_rng(0)
    tensors = {f"layer{i}": rng.normal(size=(64, 100 + i)).astype(np.float32) for i in range(3)}
    tensors["half"] = rng.normal(size=1000).astype(np.float16)
    tensors["pruned"] = tensors["layer0"] * (rng.random((64, 100)) < 0.1)
    tensors["empty"] = np.zeros((0, 3), np.float32)
    tensors["count"] = np.array(7, np.int64)
    path = tmp_path / "net.safetensors"
    save_file(tensors, path)
    made = packed(path, tmp_path)
    assert size_of(made) < 0.95 * min(others(path).values())
    names = {entry.name for entry in made.contents.entries}
    assert {"layer0", "layer1", "layer2", "half", "pruned"} < names


MLPERF = ("kws_ref_model", "pretrainedResnet_quant", "vww_96_int8", "ad01_int8")


@pytest.mark.slow
@pytest.mark.skipif("LILLIPUT_DATA" not in os.environ, reason="needs LILLIPUT_DATA")
@pytest.mark.parametrize("name", MLPERF)
def test_the_files_of_mlperf_tiny_take_less_than_elsewhere(name, tmp_path):
    path = Path(os.environ["LILLIPUT_DATA"]) / "mlperf-tiny" / f"{name}.tflite"
    size = size_of(packed(path, tmp_path))
    assert size < min(others(path).values())
    if name == "vww_96_int8":
        assert 5 * size < path.stat().st_size


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("empty.bin", b""),
        ("one.bin", b"x"),
        ("text.txt", b"model/layer/kernel " * 999),
        ("noise.bin", np.random.default_rng(0).bytes(5000)),
        ("net.tflite", b"\x1c\0\0\0TFL3" + bytes(range(200))),
        ("net.onnx", bytes(range(200))),
        ("net.safetensors", b"\x10\0\0\0\0\0\0\0{not json at all!" + bytes(99)),
    ],
)
def test_any_file_comes_back(name, data, tmp_path):
    path = tmp_path / name
    path.write_bytes(data)
    made = packed(path, tmp_path)
    assert size_of(made) <= len(data) + 300


def test_pieces_are_where_the_readers_of_others_find_them(tmp_path):
    import onnx
    from onnx import numpy_helper

    path = onnx_file(tmp_path / "net.onnx", pruned())
    data = path.read_bytes()
    pieces = {piece.name: piece for piece in FINDERS[".onnx"](data)}
    initializers = onnx.load(path).graph.initializer
    assert len(pieces) == len(initializers) == 12
    for tensor in initializers:
        piece, values = pieces[tensor.name], numpy_helper.to_array(tensor)
        assert (piece.dtype, piece.shape) == (values.dtype.name, values.shape)
        assert data[piece.start : piece.end] == values.tobytes()


def test_pieces_of_a_tflite_file_are_where_the_schema_says(tmp_path):
    pytest.importorskip("ai_edge_litert")
    from lilliput.export.litert.file import constant, read

    path = tflite_file(tmp_path / "net.tflite", clustered())
    data = path.read_bytes()
    model = read(data, "net")
    pieces = FINDERS[".tflite"](data)
    constants = [piece for piece in pieces if not piece.is_side]
    tensors = [t for t in model.subgraphs[0].tensors if len(constant(model, t))]
    assert len(constants) == len(tensors) == 6
    for piece, tensor in zip(constants, tensors, strict=True):
        assert piece.name == tensor.name.decode()
        assert piece.shape == tuple(tensor.shape)
        assert data[piece.start : piece.end] == constant(model, tensor).tobytes()
    scales = [piece for piece in pieces if piece.is_side]
    for piece, tensor in zip(scales, tensors, strict=True):
        wanted = np.asarray(tensor.quantization.scale, np.float32)
        assert data[piece.start : piece.end] == wanted.tobytes()


def test_large_arrays_have_entries_of_their_own(tmp_path):
    path = onnx_file(tmp_path / "net.onnx", pruned())
    entries = {entry.name: entry for entry in packed(path, tmp_path).contents.entries}
    assert entries["layer1.w"].shape == (64, 3, 3, 32)
    assert math.prod(entries["small float32 arrays"].shape) == 2 * (32 + 64 + 10)
    assert sum(entry.size_bytes for entry in entries.values()) == path.stat().st_size


def test_a_name_with_folders_is_not_followed(tmp_path):
    (tmp_path / "net.bin").write_bytes(b"data")
    made = pack(tmp_path / "net.bin")
    data = made.path.read_bytes()
    import hashlib

    start = data.index(b"net.bin")
    forged = bytearray(data)
    forged[start : start + 7] = b"../evil"
    forged[20:52] = hashlib.sha256(forged[:20] + forged[52 : made.data_start]).digest()
    made.path.write_bytes(forged)
    with pytest.raises(PackError, match=r"'\.\./evil', which is no name here"):
        unpack(Packed.open(made.path))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(PackError, match="cannot read"):
        pack(tmp_path / "none.onnx")


def test_a_file_is_not_packed_into_itself(tmp_path):
    (tmp_path / "net.bin").write_bytes(b"data")
    with pytest.raises(
        PackError, match=r"net\.bin would be replaced by what is made of it; say where else with -o"
    ):
        pack(tmp_path / "net.bin", tmp_path / "." / "net.bin")
    assert (tmp_path / "net.bin").read_bytes() == b"data"


def test_a_packed_file_replaces_no_other_by_the_name_that_it_says(tmp_path):
    (tmp_path / "net.bin").write_bytes(b"data")
    made = pack(tmp_path / "net.bin")
    assert unpack(made).read_bytes() == b"data"  # the same is there
    (tmp_path / "net.bin").write_bytes(b"mine")
    with pytest.raises(PackError, match=r"net\.bin is there and another file; .* with -o"):
        unpack(made)
    assert (tmp_path / "net.bin").read_bytes() == b"mine"
    assert unpack(made, tmp_path / "net.bin").read_bytes() == b"data"


@pytest.mark.parametrize("key", [r"\ud800", r"\u001b[31m"])
def test_names_of_any_letters_are_packed(tmp_path, key):
    header = f'{{"{key}":{{"dtype":"U8","shape":[600],"data_offsets":[0,600]}}}}'.encode()
    raw = len(header).to_bytes(8, "little") + header + bytes(range(200)) * 3
    (tmp_path / "net.safetensors").write_bytes(raw)
    made = pack(tmp_path / "net.safetensors")
    assert unpack(made, tmp_path / "back").read_bytes() == raw


def test_a_file_of_a_few_bytes_takes_little_room(tmp_path):
    path = tmp_path / "net.safetensors"
    save_file({f"layer{i}": np.arange(9, dtype=np.float32) for i in range(9)}, path)
    assert size_of(pack(path)) < min(others(path).values()) + 150


@pytest.mark.parametrize("suffix", ["onnx", "safetensors"])
def test_arrays_that_are_there_twice_are_stored_once(tmp_path, suffix):
    weights = np.random.default_rng(0).normal(size=(40, 100)).astype(np.float32)
    path = tmp_path / f"net.{suffix}"
    if suffix == "onnx":
        from onnx import helper, numpy_helper

        tensors = [numpy_helper.from_array(weights, name) for name in "ab"]
        graph = helper.make_graph([], "net", [], [], initializer=tensors)
        path.write_bytes(helper.make_model(graph).SerializeToString())
    else:
        save_file({"a": weights, "b": weights}, path)
    made = packed(path, tmp_path)
    assert size_of(made) < 0.95 * weights.nbytes
    assert [entry.name for entry in made.contents.entries if entry.origin] == ["b"]
