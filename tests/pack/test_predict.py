"""What is told from neighbours comes back, in C and in NumPy alike, and saves what it should."""

import ctypes

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as arrays
from scipy.signal import lfilter
from tests.pack.test_coder import WIDE, check, entropy_bytes, needs_compiler

from lilliput.core import PackError
from lilliput.pack.block import decode_block
from lilliput.pack.fields import FieldReader, FieldWriter
from lilliput.pack.native import loaded
from lilliput.pack.native_rans import native_rans
from lilliput.pack.predict import (
    Kernel,
    Prediction,
    fitted_prediction,
    read_prediction,
    write_prediction,
)


def slowly(left, prediction):
    """The distances again, one after another, in whole numbers without end."""
    kernel = prediction.kernel
    found = [int(value) for value in left]
    for start in range(0, len(found), kernel.size):
        for side in range(start, start + kernel.stride):
            for tap in range(kernel.taps):
                own = prediction.weights[tap - 1] if tap else ()
                places = [side + (tap - back) * kernel.stride for back in range(1, len(own) + 1)]
                total = sum(w * found[place] for w, place in zip(own, places, strict=True))
                total = (total + 2**31) % 2**32 - 2**31
                at = side + tap * kernel.stride
                rounded = (total + 16) // 32
                is_up = 32 * rounded > total
                value = rounded + (-found[at] if is_up else found[at])
                found[at] = (value + 2**31) % 2**32 - 2**31
    return found


def predictions(taps, stride):
    weight = st.integers(-128, 127)
    return st.integers(0, taps - 1).flatmap(
        lambda reach: st.tuples(
            *(st.tuples(*[weight] * min(tap, reach)) for tap in range(1, taps))
        ).map(lambda weights: Prediction(Kernel(taps, stride), reach, weights))
    )


@settings(max_examples=40, deadline=None)
@given(st.data(), st.sampled_from([(2, 1), (4, 1), (3, 5)]))
def test_predictions_are_undone(data, kernel):
    prediction = data.draw(predictions(*kernel))
    count = 3 * prediction.kernel.size
    small = st.integers(-(2**20), 2**20)
    distances = data.draw(arrays.arrays(np.int32, count, elements=small | WIDE))
    left = prediction.left(distances)
    np.testing.assert_array_equal(prediction.restored(left), distances)
    if np.abs(distances.astype(np.int64)).max() < 2**20:
        assert slowly(left, prediction) == distances.tolist()


class InC(ctypes.Structure):
    """`lilliput_prediction` of `decoder/block.h`."""

    _fields_ = (
        ("taps", ctypes.c_uint32),
        ("stride", ctypes.c_uint32),
        ("reach", ctypes.c_uint32),
        ("weights", ctypes.c_int16 * (64 * 63 // 2)),
    )


@needs_compiler
@pytest.mark.parametrize("taps", [2, 9, 25])
@pytest.mark.parametrize("most", [3, 127])
def test_c_restores_integers_of_every_size_as_numpy_does(taps, most):
    rng = np.random.default_rng(taps)
    for digits in range(1, 20):
        weights = tuple(
            tuple(rng.integers(-most - 1, most + 1, tap).tolist()) for tap in range(1, taps)
        )
        weights = tuple((-most - 1,) * tap for tap in range(1, taps)) if digits % 2 else weights
        prediction = Prediction(Kernel(taps), taps - 1, weights)
        left = rng.integers(-(1 << digits), 1 << digits, 80 * taps).astype(np.int32)
        found, whole = left.copy(), InC(taps, 1, taps - 1)
        for tap, own in enumerate(weights, 1):
            for back, weight in enumerate(own, 1):
                whole.weights[tap * (tap - 1) // 2 + tap - back] = weight
        loaded().lilliput_add_predicted(
            ctypes.byref(whole), ctypes.c_void_p(found.ctypes.data), ctypes.c_size_t(len(found))
        )
        np.testing.assert_array_equal(found, prediction.restored(left))


def test_the_example_of_the_format_is_coded_as_the_page_says():
    prediction = Prediction(Kernel(3), 2, ((20,), (8, -4)))
    assert prediction.left(np.array([3, 2, 2], np.int32)).tolist() == [3, 0, 2]
    out = FieldWriter()
    write_prediction(out, prediction)
    assert list(out.data) == [2, 1, 2, 40, 16, 7]


@given(predictions(4, 3))
def test_predictions_are_read_as_they_were_written(prediction):
    out = FieldWriter()
    write_prediction(out, prediction)
    fields = FieldReader(bytes(out.data), "a block")
    assert read_prediction(fields, 24) == prediction
    fields.end()


def filters(count, taps):
    """Taps like the ones before them, 0.7 of each."""
    rng = np.random.default_rng(4)
    noise = rng.normal(size=(count, taps))
    return np.rint(4 * lfilter([1], [1, -0.7], noise, axis=1)).astype(np.int32)


def test_neighbours_that_are_alike_save_what_a_process_of_their_kind_saves():
    values = filters(1500, 25)
    size = len(check(values, 25, Kernel(25)))
    saved = 0.5 * np.log2(1 / (1 - 0.7**2)) * values.size * 24 / 25 / 8
    assert size < entropy_bytes(values) - 0.9 * saved + 400


@pytest.mark.parametrize("middle", [0, 1000])
@pytest.mark.parametrize("far", [1, 1 << 20])
def test_filters_side_by_side_are_coded_as_well_as_filters_in_a_row(middle, far):
    values = filters(600, 9) + middle
    values[5] *= far
    apart = values.reshape(20, 30, 9).transpose(0, 2, 1)
    in_a_row = len(check(values, 270, Kernel(9)))
    assert abs(len(check(apart, 270, Kernel(9, 30))) - in_a_row) < 0.02 * in_a_row


def test_nothing_is_predicted_where_it_does_not_pay():
    values = np.random.default_rng(2).integers(-5, 5, 900).astype(np.int32)
    assert fitted_prediction(values, Kernel(9)) is None


@pytest.mark.parametrize(
    "fields", [(8, 1, 0, 0), (2, 0, 0, 0), (2, 1, 3, 0), (2, 1, 1, 256, 0), (64, 1, 0)]
)
def test_predictions_that_cannot_be_are_refused(fields):
    out = FieldWriter()
    for number in (1, 0, *fields, 0, 0, 0, 0):
        out.number(number)
    decoders = [decode_block] + ([native_rans().decode] if native_rans() else [])
    for decode in decoders:
        with pytest.raises(PackError, match="a block"):
            decode(bytes(out.data), 100, 10, "a block")
