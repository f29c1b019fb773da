"""Packed files to be damaged, and signed again as an attacker would."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tests.pack.nets import onnx_file, pruned

from lilliput.pack import Packed, Quantized, pack, pack_model
from lilliput.pack.container import VERSION, checksum, write_packed
from lilliput.pack.mixing import Head, encode_mixed
from lilliput.pack.native import native_mixing

__all__ = ["blocks_of", "mixed_blocks", "model_file", "onnx_packed", "resigned", "with_blocks"]


def onnx_packed(folder: Path) -> Path:
    """A packed ONNX file: integers, products and LZMA."""
    return pack(onnx_file(folder / "net.onnx", pruned())).path


def model_file(folder: Path) -> Path:
    """A packed model: all codings of floats, dead rows, far values, raw bytes."""
    rng = np.random.default_rng(0)
    dead = rng.integers(-9, 9, (40, 60))
    dead[::3] = 0
    far = rng.integers(-9, 9, 500)
    far[::99] = 1 << 30
    colors = torch.from_numpy(rng.normal(size=4).astype(np.float32))
    state = {
        "dead": Quantized(torch.from_numpy(dead), 0.1),
        "far": Quantized(torch.from_numpy(far), 0.1),
        "floats": torch.from_numpy(rng.normal(size=(30, 20)).astype(np.float32)),
        "colors": colors[torch.from_numpy(rng.integers(0, 4, 900))],
        "sparse": torch.from_numpy((rng.random(900) < 0.1) * rng.normal(size=900)),
        "noise": torch.from_numpy(rng.integers(0, 256, 400, np.uint8)),
    }
    return pack_model(state, folder / "net.lil").path


def mixed_blocks() -> list[tuple[bytes, int, int]]:
    """Mixed blocks of all orders, with far values too, their integers and columns."""
    rng = np.random.default_rng(2)
    found = []
    for rows, columns in ((70, 3), (40, 70), (1, 90)):
        values = np.rint(np.cumsum(rng.normal(size=(rows, columns)), 1) * 2).astype(np.int32)
        values[0, 0] = -(1 << 31)
        for is_turned, is_foretold in ((False, False), (False, True), (True, True)):
            head = Head(3, is_turned, is_foretold, (1, columns, columns + 1, 5))
            native = native_mixing()
            flat = values.reshape(-1)
            data = native.encode(flat, columns, head, 1 << 20) if native else None
            found.append((data or encode_mixed(flat, columns, head), len(flat), columns))
    return found


def resigned(data: bytes) -> bytes:
    """The header's digest made anew."""
    size = int.from_bytes(data[12:20], "little")
    fixed = hashlib.sha256(data[:20] + data[52 : 52 + size]).digest()
    return data[:20] + fixed + data[52:]


def blocks_of(packed: Packed) -> list[list[list[bytes]]]:
    return [packed.blocks(entry) for entry in packed.contents.entries]


def with_blocks(packed: Packed, payloads: list[list[list[bytes]]], path: Path) -> Path:
    """A file of the same tensors with other blocks, whose sizes and checksums are right."""
    entries = []
    for entry, payload in zip(packed.contents.entries, payloads, strict=True):
        streams = tuple(
            replace(
                stream,
                blocks=tuple(
                    replace(block, size=len(data), checksum=checksum(data))
                    for block, data in zip(stream.blocks, own, strict=True)
                ),
            )
            for stream, own in zip(entry.streams, payload, strict=True)
        )
        entries.append(replace(entry, streams=streams))
    write_packed(path, replace(packed.contents, entries=tuple(entries)), payloads)
    return path


assert VERSION == 1
