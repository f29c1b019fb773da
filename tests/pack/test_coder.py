"""The coder gives back what was coded, in C and in NumPy alike, and reaches the entropy."""

import functools

import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st
from hypothesis.extra import numpy as arrays
from scipy.special import gamma, gammaincc
from scipy.stats import norm

from lilliput.core import PackError
from lilliput.pack import native as compiled
from lilliput.pack.bank import SHAPES, masses, tails
from lilliput.pack.block import decode_block
from lilliput.pack.choose import draft_block
from lilliput.pack.classes import Classes
from lilliput.pack.fields import FieldReader, FieldWriter
from lilliput.pack.fitting import fitted
from lilliput.pack.native_rans import native_rans
from lilliput.pack.plan import Draft, Method, encode_plans, plan_with, planned
from lilliput.pack.tables import TOTAL, Listed, Shaped, read_table, write_table
from lilliput.pack.tokens import Alphabet, fold, unfold
from lilliput.pack.weigh import count_tokens, weigh_tokens

needs_compiler = pytest.mark.skipif(native_rans() is None, reason="no C compiler")


def check(values, columns, *kernels):
    """The code of a block, which C and NumPy make alike, and decode alike."""
    values = np.ascontiguousarray(values, np.int32).reshape(-1)
    [plan] = planned([draft_block(values, columns, kernels)])
    data = encode_plans([plan])[0]
    np.testing.assert_array_equal(decode_block(data, len(values), columns, "a block"), values)
    if native_rans():
        np.testing.assert_array_equal(
            native_rans().decode(data, len(values), columns, "a block"), values
        )
        assert native_rans().encode(plan) == data
    return data


WIDE = st.integers(-(2**31), 2**31 - 1)
NARROW = st.integers(-8, 8)


@settings(max_examples=60, deadline=None)
@example(np.array([[2**31 - 1, -(2**31)], [0, -1]], np.int32))
@example(np.zeros((3, 4), np.int32))
@given(
    st.one_of(
        arrays.arrays(np.int32, arrays.array_shapes(min_dims=2, max_dims=2), elements=elements)
        for elements in (WIDE, NARROW, st.integers(100, 355), st.just(7))
    )
)
def test_any_integers_come_back(values):
    check(values, values.shape[1])


@pytest.mark.parametrize("count", [1, 31, 2047, 2048, 70_000])
@pytest.mark.parametrize("spread", [0.2, 3, 60, 3e4])
def test_any_length_and_spread_come_back(count, spread):
    values = np.rint(np.random.default_rng(count).laplace(size=count) * spread)
    check(values, count)


def test_rows_that_are_not_whole_come_back():
    check(np.arange(-50, 51), 7)


def entropy_bytes(values):
    _, counts = np.unique(values, return_counts=True)
    return float(counts @ np.log2(counts.sum() / counts)) / 8


@functools.cache
def weights(kind):
    rng = np.random.default_rng(7)
    if kind == "gaussian int8 by row":
        real = rng.normal(size=(256, 512))
        return np.rint(real / np.abs(real).max(1, keepdims=True) * 127)
    if kind == "laplace":
        return np.rint(rng.laplace(size=(256, 512)) * 3)
    if kind == "90 % pruned":
        return np.rint(rng.normal(size=(256, 512)) * 6) * (rng.random((256, 512)) < 0.1)
    return rng.choice([-90, -31, 4, 77], p=[0.1, 0.3, 0.4, 0.2], size=(256, 512))


KINDS = ("gaussian int8 by row", "laplace", "90 % pruned", "4 colors")


@pytest.mark.parametrize("kind", KINDS)
def test_weights_take_no_more_than_their_entropy(kind):
    values = weights(kind)
    assert len(check(values, 512)) < 1.005 * entropy_bytes(values) + 100


def test_rows_and_columns_of_different_widths_take_less_than_the_entropy_of_all():
    rng = np.random.default_rng(3)
    scales = 2.0 ** rng.normal(0, 1.5, (256, 1)) * 2.0 ** rng.normal(0, 1.5, (1, 256))
    values = np.rint(rng.normal(size=(256, 256)) * scales * 8)
    size = len(check(values, 256))
    assert size < 0.9 * entropy_bytes(values)
    assert size < 1.025 * gaussian_bytes(scales * 8)


def gaussian_bytes(deviations):
    """What rounded Gaussians take if the deviation of each is known."""
    edges = np.arange(-6000, 6001) - 0.5
    bits = 0.0
    levels, counts = np.unique(np.rint(np.log2(deviations) * 8) / 8, return_counts=True)
    for level, count in zip(levels, counts, strict=True):
        share = np.diff(norm.cdf(edges / 2**level))
        bits += count * float(share[share > 0] @ -np.log2(share[share > 0]))
    return bits / 8


def test_dead_rows_and_columns_cost_next_to_nothing():
    rng = np.random.default_rng(5)
    values = np.rint(rng.normal(size=(64, 64)) * 20)
    whole = len(check(values, 64))
    padded = np.zeros((256, 256))
    padded[::4, 3::4] = values
    assert len(check(padded, 256)) < whole + 120


def test_far_values_do_not_spoil_the_others():
    values = np.rint(np.random.default_rng(1).laplace(size=65_536) * 2)
    before = len(check(values, 256))
    values[::5000] = 2**31 - 1
    assert len(check(values, 256)) < before + 14 * 12


@given(arrays.arrays(np.int32, 20, elements=WIDE), st.integers(-(2**31), 2**31 - 1))
def test_folding_is_undone(values, middle):
    np.testing.assert_array_equal(unfold(fold(values, middle), middle), values)


def test_small_distances_are_small_folded():
    assert fold(np.array([5, 4, 6, 3], np.int32), 5).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("direct", "steps"), [(256, 0), (128, 3), (64, 2), (24, 1), (8, 0), (1, 0)]
)
def test_tokens_and_their_bits_make_numbers(direct, steps):
    edges = [2**i + j for i in range(9 if direct == 256 else 17) for j in (-1, 0, 1)]
    numbers = np.array([n for n in edges if n < (256 if direct == 256 else 1 << 16)], np.uint32)
    alphabet = Alphabet.holding(direct, steps, int(numbers.max()))
    tokens = alphabet.tokens(numbers)
    assert tokens.max() == alphabet.size - 1
    rest = numbers - alphabet.bases[tokens]
    assert (rest < (1 << alphabet.bits[tokens].astype(np.int64))).all()
    assert (alphabet.bases[: alphabet.direct] == np.arange(alphabet.direct)).all()


def test_the_tails_are_those_of_generalized_gaussians():
    points = [2.0**o * (1 + m / 16) for o in range(-8, 5) for m in range(16)] + [32.0]
    for power, found in zip((0.5, 0.7, 1, 1.4, 2, 4), tails(), strict=True):
        width = gamma(1 / power) / gamma(2 / power)  # for a mean distance of 1
        np.testing.assert_allclose(
            found, gammaincc(1 / power, (np.array(points) / width) ** power) * 2**24, atol=0.51
        )


@pytest.mark.parametrize("shape", range(SHAPES))
def test_masses_follow_the_density(shape):
    power = (0.5, 0.7, 1, 1.4, 2, 4)[shape]
    mean = 2 ** ((26 - 12) / 4)
    width = mean * gamma(1 / power) / gamma(2 / power)
    edges = np.append(0, np.arange(0.5, 127))
    beyond = gammaincc(1 / power, (edges / width) ** power)
    found = masses(Alphabet(256), shape, 26)
    both = np.append(found[0], found[1:253:2] + found[2:254:2])
    np.testing.assert_allclose(both / 2**24, -np.diff(beyond), atol=2e-4, rtol=0.05)


@given(
    st.integers(0, SHAPES - 1),
    st.integers(0, 127),
    st.integers(1, 100),
    st.dictionaries(st.integers(0, 99), st.integers(1, 300), max_size=5),
)
def test_shaped_frequencies_add_up_and_none_is_missing(shape, scale, limit, spikes):
    pairs = tuple(sorted((t, f) for t, f in spikes.items() if t < limit))
    table = Shaped(shape, scale, limit, pairs)
    found = table.frequencies(Alphabet(64, 2, 36))
    if len(pairs) < limit:
        assert found.sum() == TOTAL
    assert (found[:limit] > 0).all()
    assert not found[limit:].any()
    assert all(found[token] == frequency for token, frequency in pairs)


@given(arrays.arrays(np.int64, (2, 40), elements=st.integers(0, 10**6)))
def test_tables_are_read_as_they_were_written(counts):
    alphabet = Alphabet(40)
    for table, said, row in zip(*fitted(counts, alphabet), counts, strict=True):
        found = table.frequencies(alphabet)
        np.testing.assert_array_equal(found, said)
        assert found.sum() == TOTAL
        assert (found[row > 0] > 0).all()
        out = FieldWriter()
        write_table(out, table)
        fields = FieldReader(bytes(out.data), "a table")
        assert read_table(fields, alphabet) == table
        fields.end()


def test_frequencies_that_do_not_add_up_are_refused():
    for table in (Listed(((0, 4095),)), Shaped(0, 9, 3, ((0, 4095),)), Shaped(0, 9, 1, ((0, 5),))):
        out = FieldWriter()
        write_table(out, table)
        with pytest.raises(PackError, match="do not add up to 4096"):
            read_table(FieldReader(bytes(out.data), "a table"), Alphabet(9))


@needs_compiler
def test_every_shape_and_scale_is_the_same_table_in_c():
    """Tokens of a shaped table in order, coded by NumPy's frequencies, decode by C's."""
    for shape in range(SHAPES):
        for scale in range(0, 128, 3):
            values = np.repeat(np.arange(-20, 21), 3) * (1 + scale // 12)
            data = shaped_block(values, Shaped(shape, scale, 0, ()))
            found = native_rans().decode(data, len(values), len(values), "a block")
            np.testing.assert_array_equal(found, values)


def shaped_block(values, table):
    from lilliput.pack.classes import Classes, Way

    folded = fold(np.asarray(values, np.int32), 0).reshape(1, -1)
    alphabet = Alphabet.holding(24, 1, int(folded.max()))
    whole = Shaped(table.shape, table.scale, alphabet.size, ((0, 100),))
    method = Method(0, None, alphabet, Classes(None, None), Way(False, False, 1))
    tokens = alphabet.tokens(folded)
    counts = count_tokens(tokens, method.classes, alphabet.size)
    tables = [whole], whole.frequencies(alphabet)[None]
    return encode_plans([plan_with(Draft(method, counts, folded, tokens), tables, [])])[0]


@needs_compiler
@pytest.mark.parametrize("kind", KINDS)
def test_planning_weighs_alike_in_c(kind):
    values = weights(kind).astype(np.int32)
    values[::9] = values[:, 3] = 0
    plans = [
        planned([draft_block(values.reshape(-1), 512, (), None, weigh)])[0]
        for weigh in (native_rans().weigh, weigh_tokens)
    ]
    assert native_rans().encode(plans[0]) == encode_plans([plans[1]])[0]


@needs_compiler
@pytest.mark.parametrize("lines", ["rows", "columns", "both", "none"])
def test_bits_are_weighed_alike_in_c(lines):
    rng = np.random.default_rng(5)
    tokens, alphabet = rng.integers(0, 12, (40, 60)).astype(np.uint8), Alphabet(8, 1, 4)
    classes = Classes(
        rng.integers(0, 5, 40).astype(np.uint8) if lines in {"rows", "both"} else None,
        rng.integers(0, 4, 60).astype(np.uint8) if lines in {"columns", "both"} else None,
    )
    (bits, counts), (wanted, times) = (
        weigh(tokens, classes, alphabet) for weigh in (native_rans().weigh, weigh_tokens)
    )
    assert bits == wanted
    np.testing.assert_array_equal(counts, times)
    share = times.sum(1, keepdims=True)
    entropy = -(times * np.log2(np.maximum(times, 1) / np.maximum(share, 1))).sum()
    raw = (times.sum(0)[8:] * [0, 0, 1, 1]).sum()
    assert entropy + raw < bits < entropy + raw + 9.5 * np.count_nonzero(times) + 700


@needs_compiler
def test_the_compiled_file_is_kept_and_taken_again(tmp_path, monkeypatch):
    monkeypatch.setenv("LILLIPUT_CACHE", str(tmp_path))
    data = check([1, 2, 3], 3)
    fresh = native_rans.__wrapped__
    assert fresh().decode(data, 3, 3, "a block").tolist() == [1, 2, 3]
    (kept,) = (tmp_path / "coder").iterdir()
    monkeypatch.setattr(compiled, "_COMPILERS", ())
    assert fresh().decode(data, 3, 3, "a block").tolist() == [1, 2, 3]
    kept.chmod(0o722)  # somebody else may have changed it
    assert fresh() is None


def test_without_a_compiler_there_is_no_compiled_coder(tmp_path, monkeypatch):
    monkeypatch.setenv("LILLIPUT_CACHE", str(tmp_path))
    monkeypatch.setattr(compiled, "_COMPILERS", ("no-such-compiler",))
    assert native_rans.__wrapped__() is None
