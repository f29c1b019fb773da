import io
import json
import struct

import numpy as np
import pytest
from hypothesis import given, strategies as st

from lilliput.measure.frames import FrameError, receive, send

SHAPES = st.lists(st.integers(0, 4), max_size=4).map(tuple)
DTYPES = st.sampled_from(["float32", "float64", "float16", "int8", "uint8", "int64", "bool"])


def sent(header, arrays=()):
    stream = io.BytesIO()
    send(stream, header, arrays)
    return stream.getvalue()


@given(st.lists(st.tuples(SHAPES, DTYPES), max_size=3))
def test_what_is_sent_is_received(kinds):
    draw = np.random.default_rng(0)
    arrays = [draw.integers(0, 2, shape).astype(dtype) for shape, dtype in kinds]
    header, got = receive(io.BytesIO(sent({"kind": "run"}, arrays)))
    assert header["kind"] == "run"
    for ours, theirs in zip(arrays, got, strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype


@given(st.data())
def test_a_stream_cut_anywhere_is_an_end(data):
    frame = sent({"kind": "run"}, [np.arange(6.0)])
    with pytest.raises(EOFError):
        receive(io.BytesIO(frame[: data.draw(st.integers(0, len(frame) - 1))]))


def listing(*arrays):
    text = json.dumps({"arrays": list(arrays)}).encode()
    return b"LILM" + struct.pack("<I", len(text)) + text


@pytest.mark.parametrize(
    "frame",
    [
        b"hello, world: this is a log line",
        b"LILM" + struct.pack("<I", 1 << 31),
        b"LILM" + struct.pack("<I", 4) + b"nope",
        listing({"dtype": "O", "shape": [1]}),
        listing({"dtype": "<f4", "shape": [1 << 40]}),
        listing({"dtype": "<f4", "shape": [-1]}),
        listing({"dtype": "nonsense", "shape": [1]}),
        listing({"shape": [1]}),
        listing(*[{"dtype": "<f4", "shape": [0]}] * 300),
    ],
)
def test_garbage_is_refused_before_anything_is_allocated(frame):
    with pytest.raises(FrameError):
        receive(io.BytesIO(frame))


def test_objects_are_not_sent():
    with pytest.raises(FrameError, match="object"):
        sent({}, [np.array([{}])])
