"""Packed files to be damaged."""

from pathlib import Path

import numpy as np
import torch
from tests.pack.nets import onnx_file, pruned

from lilliput.pack import Packed, Quantized, pack, pack_model
from lilliput.pack.container import VERSION
from lilliput.pack.mixing import Head, encode_mixed
from lilliput.pack.native import native_mixing

__all__ = [
    "blocks_of",
    "mixed_blocks",
    "mixed_model",
    "model_file",
    "onnx_packed",
    "small_model",
    "state",
    "tiny_file",
]


def onnx_packed(folder: Path) -> Path:
    """A packed ONNX file: integers, products and LZMA."""
    return pack(onnx_file(folder / "net.onnx", pruned())).path


def model_file(folder: Path) -> Path:
    """A packed model: all codings of floats, dead rows, filters, far values, raw bytes."""
    return pack_model(state(40, 900), folder / "net.lil").path


def small_model(folder: Path) -> Path:
    """The same of few weights, so that an attack takes little time."""
    return pack_model(state(12, 80), folder / "small.lil").path


def mixed_model(folder: Path, moved: int = 0) -> Path:
    """Integers whose blocks are mixed: each row is nearly the one before."""
    rng = np.random.default_rng(4)
    values = np.cumsum(rng.integers(-1, 2, (30, 9)), 0)
    values[::7, 3] += moved
    weights = {"w": Quantized(torch.from_numpy(values), 0.1)}
    return pack_model(weights, folder / "mixed.lil", smallest=True).path


def state(rows: int, count: int) -> dict[str, torch.Tensor | Quantized]:
    rng = np.random.default_rng(0)
    dead = rng.integers(-9, 9, (rows, 60))
    dead[::3] = 0
    far = rng.integers(-9, 9, count // 2)
    far[::19] = 1 << 30
    filters = np.rint(rng.normal(size=(rows, 5, 3, 3)).cumsum(-1) * 4).astype(np.int32)
    floats = torch.from_numpy(rng.normal(size=(rows, 20)).astype(np.float32))
    colors = torch.from_numpy(rng.normal(size=4).astype(np.float32))
    return {
        "dead": Quantized(torch.from_numpy(dead), 0.1),
        "filters": Quantized(torch.from_numpy(filters), 0.1),
        "far": Quantized(torch.from_numpy(far), 0.1),
        "floats": floats,
        "tied": floats.reshape(-1),
        "again": floats[:2].repeat(120, 1),
        "colors": colors[torch.from_numpy(rng.integers(0, 4, count))],
        "sparse": torch.from_numpy((rng.random(count) < 0.1) * rng.normal(size=count)),
        "grid": torch.from_numpy((rng.integers(-9, 9, (rows, 20)) / 8).astype(np.float32)),
        "noise": torch.from_numpy(rng.integers(0, 256, count // 2, np.uint8)),
    }


def mixed_blocks() -> list[tuple[bytes, int, int]]:
    """Mixed blocks of all orders, with far values too, their integers and columns."""
    rng = np.random.default_rng(2)
    found = []
    for rows, columns in ((70, 3), (40, 70), (1, 90)):
        values = np.rint(np.cumsum(rng.normal(size=(rows, columns)), 1) * 2).astype(np.int32)
        values[0, 0] = -(1 << 31)
        part = next(size for size in (10, 3, 1) if columns % size == 0)
        for is_turned, group in ((False, 0), (False, columns), (False, part), (True, rows)):
            head = Head(3, is_turned, group, (1, columns, columns + 1, 5))
            native = native_mixing()
            flat = values.reshape(-1)
            data = native.encode(flat, columns, head, 1 << 20) if native else None
            found.append((data or encode_mixed(flat, columns, head), len(flat), columns))
    return found


def tiny_file(folder: Path) -> Path:
    """A packed ONNX file of a few hundred weights: integers, products and LZMA."""
    weights = np.rint(9 * np.random.default_rng(3).normal(size=(32, 20))).astype(np.int8)
    return pack(onnx_file(folder / "tiny.onnx", [weights, weights[:8]])).path


def blocks_of(packed: Packed) -> list[list[list[bytes]]]:
    """Of each tensor; none of copies."""
    return [[] if entry.origin else packed.blocks(entry) for entry in packed.contents.entries]


assert VERSION == 1
