"""Differences and parts lead back to what they were made of, of any values."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from lilliput.core import PackError
from lilliput.pack.updates.align import Part, lined_up, parts_of, read_parts, write_parts
from lilliput.pack.updates.differences import TEXT, Pools, bits_of, differences, moved, pools_of

TYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "float16", "float32", "bool")


@settings(deadline=None, max_examples=60)
@given(raw=st.binary(min_size=48, max_size=48))
@pytest.mark.parametrize("dtype", TYPES)
def test_moved_undoes_differences(dtype, raw):
    bits = np.frombuffer(raw, np.uint8) & (1 if dtype == "bool" else 255)
    old, new = bits.view(dtype).reshape(2, -1)
    is_float = dtype.startswith("float")
    back = moved(old, differences(old, new, is_float), is_float)
    assert back.dtype == new.dtype
    assert back.tobytes() == new.tobytes()


def test_differences_count_away_from_zero():
    old, new = np.array([5, -5, 5, -5, 0, 0]), np.array([6, -6, 4, -4, 1, -1])
    found = differences(old.astype(np.int8), new.astype(np.int8), is_float=False)
    assert found.tolist() == [1, 1, -1, -1, 1, -1]


def test_floats_differ_by_the_floats_between():
    old = np.array([1, -1, 0, 2], np.float32)
    new = np.array([np.nextafter(np.float32(1), 2), np.nextafter(np.float32(-1), -2), -0.0, 1])
    found = differences(old, new.astype(np.float32), is_float=True)
    assert found.tolist() == [1, -1, -1, -(1 << 23)]


def test_pools_give_back_what_was_put_into_them():
    rng = np.random.default_rng(0)
    pools, given_ = Pools(), []
    for size in (0, 5, 300):
        old = rng.integers(-9, 9, size).astype(np.int8)
        places = pools_of(old, rng.random(size) < 0.1, "int8", is_text=False)
        values = rng.integers(-9, 9, size, np.int32)
        pools.add(values, places)
        given_.append((places, values))
    read = Pools(pools.whole())
    for places, values in given_:
        np.testing.assert_array_equal(read.take(places, "w"), values)
    with pytest.raises(PackError, match="w has more items than there are differences"):
        read.take(np.zeros(1, np.intp), "w")


def test_bytes_stay_in_order_in_a_pool_of_their_own():
    places = pools_of(np.zeros(7, np.uint8), np.ones(7, bool), "uint8", is_text=True)
    assert set(places) == {TEXT}


def test_bits_of_nothing_moved_are_none():
    assert bits_of(np.zeros(100, np.int32)) == 0
    assert bits_of(np.array([0, 1] * 50, np.int32)) == pytest.approx(100)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_parts_lead_to_the_new_array(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    old = rng.integers(0, 9, 200).astype(data.draw(st.sampled_from(["uint8", "int32"])))
    pieces = data.draw(st.lists(st.tuples(st.integers(0, 199), st.integers(0, 90)), max_size=5))
    new = np.concatenate([old[:0], *(old[at : at + size] for at, size in pieces)])
    parts = parts_of(old, new)
    assert read_parts(write_parts(parts), "w") == list(parts)
    found, is_new = lined_up(old, parts, new.size, "w")
    np.testing.assert_array_equal(found[~is_new], new[~is_new])
    assert not found[is_new].any()
    copied = sum(part.length for part in parts if part.source is not None)
    assert copied == np.count_nonzero(~is_new)


def test_long_runs_are_found():
    old = np.random.default_rng(0).integers(0, 256, 3000, np.uint8)
    new = np.concatenate([old[1500:2900], [1, 2, 3], old[100:1400]]).astype(np.uint8)
    parts = parts_of(old, new)
    assert [part.source for part in parts if part.length > 4] == [1500, 100]


@pytest.mark.parametrize(
    "parts", [[Part(11)], [Part(9)], [Part(10, 1)], [Part(5, 0), Part(6)], [Part(1 << 40, 0)]]
)
def test_parts_of_other_sizes_are_refused(parts):
    with pytest.raises(PackError, match="w has parts"):
        lined_up(np.zeros(10, np.int8), parts, 10, "w")
