"""A network's integers in our file and in NNCodec's arithmetic coder: bytes, and decoding in turns.

Bytes of ours are the whole file, its header too; of NNCodec's the payloads alone. Tensor by tensor
it is payload beside payload. Ours is decoded twice: its blocks alone, from memory to integers of 32
bits, as the peer does; and the whole file, read and checked, to tensors.
"""

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import peers_environment as environment
import torch
from pack_nets import state_of
from rows import Row

from lilliput.pack import Quantized, load_packed, pack_model
from lilliput.pack.model import PackedModel
from lilliput.pack.native_rans import native_rans

__all__ = ["SYSTEM", "beside"]

SYSTEM = f"NNCodec {environment.version('nncodec')}"
OURS, BLOCKS = "lilliput", "lilliput, blocks alone"
RUNS = 11

Peer = subprocess.Popen[str]


def beside(net: str, step: str) -> list[Row]:
    """Bytes and speed of both."""
    torch.set_num_threads(1)
    state = state_of(net, step)
    arrays = {k: v.integers.numpy() for k, v in state.items() if isinstance(v, Quantized)}
    megabytes = 4e-6 * sum(array.size for array in arrays.values())
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "integers.npz", **arrays)
        packed = pack_model(state, Path(folder) / "net.lil")
        opened = load_packed(packed.path, most_bytes=1 << 40)
        size = packed.path.stat().st_size
        own = {entry.name: entry.stored_bytes for entry in packed.contents.entries}
        with environment.start("peers_nncodec.py", Path(folder) / "integers.npz") as peer:
            sizes: dict[str, int] = json.loads(_line(peer))
            seconds = list(_in_turns(peer, opened))
            peer.communicate()
    worst = max(own[name] / sizes[name] for name in sizes)
    case, times = f"beside {net}, {step}", np.array(seconds)
    rows = [
        Row(case, OURS, "size", size, "B", "measured", samples=len(sizes)),
        Row(case, SYSTEM, "size", sum(sizes.values()), "B", "measured", samples=len(sizes)),
        Row(case, OURS, "size / NNCodec's", size / sum(sizes.values()), "1", "measured"),
        Row(case, OURS, "worst tensor", worst, "1", "measured", samples=len(sizes)),
    ]
    for system, column in ((SYSTEM, 0), (BLOCKS, 1), (OURS, 2)):
        rows.append(_spread(case, system, "decode", megabytes / times[:, column], "MB/s"))
        if column:
            ratio = times[:, 0] / times[:, column]
            rows.append(_spread(case, system, "times as fast as NNCodec", ratio, "1"))
    return rows


def _spread(case: str, system: str, quantity: str, values: np.ndarray, unit: str) -> Row:
    low, middle, high = np.quantile(values, (0, 0.5, 1)).tolist()
    return Row(case, system, quantity, middle, unit, "measured", low, high, len(values))


def _line(peer: Peer) -> str:
    line = peer.stdout.readline() if peer.stdout else ""
    if not line:
        raise SystemExit("peers_nncodec.py ended early; its message is above")
    return line


def _in_turns(peer: Peer, opened: PackedModel) -> Iterator[tuple[float, float, float]]:
    """Seconds of the processor for one decoding of the peer, of our blocks, and of our file."""
    blocks = list(_blocks(opened))
    for run in range(RUNS + 1):
        if peer.stdin:
            peer.stdin.write("again\n")
            peer.stdin.flush()
        theirs = float(_line(peer))
        ours = _seconds(lambda: [_decoded(*block) for block in blocks])
        whole = _seconds(lambda: [opened.quantized(name) for name in opened])
        if run:  # the first warms up
            yield theirs, ours, whole


def _blocks(opened: PackedModel) -> Iterator[tuple[bytes, int, int]]:
    packed = opened.packed
    for entry in packed.contents.entries:
        for stream, own in zip(entry.streams, packed.blocks(entry), strict=True):
            for block, data in zip(stream.blocks, own, strict=True):
                yield data, block.count, stream.columns


def _decoded(data: bytes, count: int, columns: int) -> object:
    compiled = native_rans()
    if compiled is None or data[0] != 1:
        raise SystemExit("there is no C compiler, or a block that is no range ANS")
    return compiled.decode(data[1:], count, columns, "a block")


def _seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start
