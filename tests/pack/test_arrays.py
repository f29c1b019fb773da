"""Arrays of every type come back bit for bit, in the coding that suits them."""

import lzma
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as arrays

from lilliput.core import PackError
from lilliput.pack.arrays import NamedArray, encode_arrays
from lilliput.pack.codings import (
    BYTES,
    CONSTANT,
    COPY,
    INTEGERS,
    PALETTE,
    PALETTES,
    PLANES,
    PRODUCTS,
    SPARSE,
)
from lilliput.pack.header import DTYPES
from lilliput.pack.palettes import painted
from lilliput.pack.products import segments_of
from lilliput.pack.restore import array_of

NUMPY = {name: np.dtype("uint16" if name == "bfloat16" else name) for name in DTYPES}


def packed(values, dtype=None, **more):
    (entry,), (blocks,) = encode_arrays(
        [NamedArray("x", values, dtype or values.dtype.name, **more)]
    )
    back = array_of(entry, blocks, "a file")
    assert back.dtype == values.dtype
    assert back.shape == values.shape
    assert back.tobytes() == values.tobytes()
    return entry


@settings(max_examples=80, deadline=None)
@given(st.data(), st.sampled_from(DTYPES))
def test_any_array_comes_back_bit_for_bit(data, dtype):
    shape = data.draw(arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=9))
    values = data.draw(arrays.arrays(NUMPY[dtype], shape))
    packed(values, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (70_000,), (1, 3, 3, 50)])
def test_any_shape_comes_back(dtype, shape):
    values = np.asarray(np.random.default_rng(0).normal(size=shape) * 50).astype(NUMPY[dtype])
    packed(values, dtype)


def floats(count=40_000):
    return np.random.default_rng(1).normal(size=count).astype(np.float32)


def test_floats_save_most_of_their_exponents():
    entry = packed(floats())
    assert entry.coding == PLANES
    assert entry.stored_bytes < 27 / 32 * entry.size_bytes


@pytest.mark.parametrize("dtype", DTYPES)
def test_items_that_are_all_the_same_take_no_block(dtype):
    entry = packed(np.full((30, 7), 3, NUMPY[dtype]), dtype)
    assert (entry.coding, entry.stored_bytes) == (CONSTANT, 0)


def test_a_constant_of_another_size_or_with_a_stream_is_refused():
    (entry, other), (_, blocks) = encode_arrays(
        [NamedArray("x", np.ones(9, np.float32), "float32"), NamedArray("y", floats(9), "float32")]
    )
    with pytest.raises(PackError, match="does not say which"):
        array_of(replace(entry, settings=b"\0"), [], "a file")
    with pytest.raises(PackError, match="does not say which"):
        array_of(replace(entry, streams=other.streams), blocks, "a file")


def test_nan_and_infinity_come_back():
    values = floats(600)
    values[::7] = np.nan
    values[3::7] = -np.inf
    values[4::7] = -0.0
    packed(values)


def test_clustered_floats_take_what_their_places_take():
    entry = packed(floats(16)[np.random.default_rng(2).integers(0, 16, (200, 200))])
    assert entry.coding == PALETTE
    assert entry.stored_bytes < 40_000 / 2 * 1.01 + 200


@pytest.mark.parametrize("dtype", ["float32", "float16", "float64"])
def test_clustered_floats_whose_channels_were_scaled_have_a_palette_each(dtype):
    rng = np.random.default_rng(2)
    places = rng.integers(0, 16, (50, 900))
    scales = rng.normal(size=(50, 1))
    values = (floats(16)[places] * scales).astype(dtype)
    values[0, :3], values[1] = (np.nan, -0.0, 0.0), 0.25
    entry = packed(values)
    assert entry.coding == PALETTES
    colors = 50 * 16 * values.itemsize
    assert entry.stored_bytes < places.size / 2 * 1.01 + colors + 400


def test_rows_of_floats_have_no_palettes_though_the_first_is_constant():
    values = floats(300 * 64).reshape(300, 64)
    values[0] = 0
    assert packed(values).coding == PLANES


def test_palettes_that_do_not_fit_are_refused():
    rows, colors = np.array([1, 2], np.uint16), np.arange(3, dtype=np.uint32)
    places = np.array([0, 0, 1, 0], np.uint8)
    assert painted(rows, colors, places, "x").tolist() == [0, 0, 2, 1]
    for wrong in (
        (rows[:0], colors, places),
        (rows, colors[:2], places),
        (rows, colors, places[:3]),
    ):
        with pytest.raises(PackError, match="do not fit its rows"):
            painted(*wrong, "x")
    with pytest.raises(PackError, match="has not"):
        painted(rows, colors, places[::-1], "x")


def test_pruned_floats_take_what_is_left():
    values = floats()
    values[np.random.default_rng(3).random(len(values)) < 0.9] = 0
    entry = packed(values)
    assert entry.coding == SPARSE
    share = np.count_nonzero(values) / len(values)
    where = -(share * np.log2(share) + (1 - share) * np.log2(1 - share))
    assert entry.stored_bytes < (27 * share + where) * 40_000 / 8 + 250


def test_bytes_that_use_all_their_bits_are_stored():
    values = np.random.default_rng(4).integers(0, 256, 50_000, np.uint8)
    entry = packed(values)
    assert entry.coding == INTEGERS
    assert entry.stored_bytes == 50_001


def test_text_repeats():
    values = np.frombuffer(b"model/layer/kernel " * 500, np.uint8)
    assert packed(values, is_text=True).stored_bytes < 100


def test_products_of_vectors_are_found():
    scales = np.abs(floats(300)) + np.float32(0.01)
    largest = (scales * np.float32(127)).astype(np.float32)
    biases = (scales * np.float32(0.0235)).astype(np.float32)
    smallest = np.where(np.arange(300) % 2, -largest, floats(300)).astype(np.float32)
    vectors = [scales, largest, smallest, biases]
    segments = segments_of(vectors)
    assert [segment.source for segment in segments] == [None, 0, 0, 0]
    plain = packed(np.concatenate(vectors))
    entry = packed(np.concatenate(vectors), segments=segments)
    assert entry.coding == PRODUCTS
    assert entry.stored_bytes < 0.6 * plain.stored_bytes


def test_vectors_without_relation_are_left():
    vectors = [floats(300), np.random.default_rng(9).normal(size=300).astype(np.float32)]
    assert [segment.source for segment in segments_of(vectors)] == [None, None]
    vectors.append(np.full(300, np.nan, np.float32))
    assert segments_of(vectors)[-1].source is None


def test_bytes_that_come_again_are_found():
    """Rows that are there again far away, and a mask, which LZMA sees and no plane does."""
    rng = np.random.default_rng(0)
    rows = np.tile(rng.normal(size=(16, 4096)).astype(np.float32), (8, 1))
    entry = packed(rows)
    assert entry.coding == BYTES
    assert entry.stored_bytes < 0.95 * rows.nbytes / 8 + 1000
    mask = np.triu(np.full((256, 256), -np.inf, np.float32), 1)
    assert packed(mask).stored_bytes < len(lzma.compress(mask.tobytes(), preset=9)) + 40


def test_weights_that_do_not_come_again_stay_as_they_were():
    assert (
        packed(np.random.default_rng(0).normal(size=(64, 512)).astype(np.float32)).coding == PLANES
    )


def test_what_is_there_twice_is_stored_once():
    values = np.random.default_rng(0).normal(size=(40, 50)).astype(np.float32)
    near = values.copy()
    near[3, 3] += 1
    named = [("a", values), ("b", near), ("c", values.reshape(50, 40)), ("d", near.view(np.int32))]
    entries, payloads = encode_arrays([NamedArray(n, v, v.dtype.name) for n, v in named])
    assert [entry.origin and entry.origin.name for entry in entries] == [None, None, "a", None]
    assert entries[2].coding == COPY
    assert payloads[2] == []
    for (_, own), entry, blocks in zip(named, entries, payloads, strict=True):
        made = array_of(entry, payloads[0] if entry.origin else blocks, "a file")
        np.testing.assert_array_equal(made, own)
        assert made.shape == own.shape
