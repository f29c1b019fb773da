"""The arithmetic coder of NNCodec on given integers; `pack_beside.py` runs it.

python benchmarks/peers_nncodec.py INTEGERS.npz

The first line says what each tensor takes, once it was decoded again: parameters optimized,
integers of uniform steps, the payload alone. For each line on standard input all are decoded, and a
line says in how many seconds of the processor.
"""

import json
import sys
import time

import numpy as np
from nncodec.extensions import deepCABAC

UNARY_LENGTH = 11  # as `nncodec.compress` has it where nothing is asked
OPTIMIZED = 1


def nothing() -> tuple:
    """No statistics of earlier tensors."""
    return deepCABAC.HdspMode.AlwaysOff, np.array([], np.int8)


def encode(values: np.ndarray) -> np.ndarray:
    """A tensor's payload."""
    encoder = deepCABAC.Encoder()
    encoder.initCtxModels(UNARY_LENGTH, OPTIMIZED)
    rows = np.zeros(len(values), np.int32)
    encoder.encodeLayer(values, 0, 0, 1, 0, 0, rows, *nothing(), 0, 0)
    return encoder.finish()


def decode(payload: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The integers again."""
    decoder = deepCABAC.Decoder()
    decoder.setStream(payload)
    decoder.initCtxModels(UNARY_LENGTH)
    values = np.zeros(shape, np.int32)
    decoder.decodeLayer(values, 0, 0, 1, 0, *nothing(), 0, 0)
    return values


def main(path: str) -> None:
    """Sizes, then seconds."""
    with np.load(path) as given:
        tensors = {name: np.ascontiguousarray(given[name], np.int32) for name in given}
    payloads = {name: encode(values) for name, values in tensors.items()}
    for name, values in tensors.items():
        if not np.array_equal(decode(payloads[name], values.shape), values):
            sys.exit(f"{name} does not come back")
    print(json.dumps({name: len(payload) for name, payload in payloads.items()}), flush=True)
    for _ in sys.stdin:
        start = time.process_time()
        for name, values in tensors.items():
            decode(payloads[name], values.shape)
        print(time.process_time() - start, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
