"""Mixed blocks: the same bytes from C and Python, and what is foretold is not paid for."""

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import norm

from lilliput.core import PackError
from lilliput.pack import Quantized, load_packed, native, pack_model, smallest
from lilliput.pack.mixer import _squash, _stretch, logarithm
from lilliput.pack.mixing import Head, _Sides, decode_mixed, encode_mixed
from lilliput.pack.predict import Kernel
from lilliput.pack.range_coder import BitDecoder, BitEncoder
from lilliput.pack.regression import Regression
from lilliput.pack.smallest import shortest_mixed

needs_compiler = pytest.mark.skipif(native.native_mixing() is None, reason="no C compiler")
PAGE = Path(__file__).parents[2] / "docs" / "format.md"


def related(rows, columns, scale, seed=0):
    """Integers of which each column follows from the one before."""
    real = np.cumsum(np.random.default_rng(seed).normal(size=(rows, columns)), 1)
    limits = np.iinfo(np.int32)
    rounded = np.clip(np.rint(real * scale), limits.min, limits.max)
    return rounded.astype(np.int64).astype(np.int32)


@needs_compiler
@pytest.mark.parametrize(
    ("rows", "columns", "part", "scale"),
    [(66, 2, 1, 2), (3, 4, 4, 5e8), (1, 30, 5, 30), (3, 40, 20, 1), (12, 18, 6, 4)],
)
def test_c_and_python_give_the_same_bytes_and_integers(rows, columns, part, scale):
    values = related(rows, columns, scale).reshape(-1)
    mixing = native.native_mixing()
    for is_turned, group in ((False, 0), (False, columns), (False, part), (True, rows)):
        head = Head(int(values[0]) % 9, is_turned, group, (1, columns, 2, columns + 1))
        data = encode_mixed(values, columns, head)
        assert mixing.encode(values, columns, head, 1 << 20) == data
        for decode in (decode_mixed, mixing.decode):
            np.testing.assert_array_equal(decode(data, len(values), columns, "a block"), values)


@needs_compiler
@pytest.mark.parametrize("count", [1, 2, 4097, 70_000])
@pytest.mark.parametrize("spread", [0.3, 50, 1e9])
def test_any_length_and_spread_come_back(count, spread):
    real = np.random.default_rng(count).laplace(size=count) * spread
    values = np.clip(np.rint(real), -(2**31), 2**31 - 1).astype(np.int64).astype(np.int32)
    columns = 7 if count > 65_536 else count
    data = shortest_mixed(values, columns, 6 * count + 100)
    found = native.native_mixing().decode(data, count, columns, "a block")
    np.testing.assert_array_equal(found, values)


@needs_compiler
@pytest.mark.parametrize("value", [0, 7])
def test_equal_integers_are_left_to_range_ans(value, tmp_path):
    assert shortest_mixed(np.full(4096, value, np.int32), 64, 1 << 20) is None
    whole = torch.full((512, 64), value)
    packed = pack_model({"w": Quantized(whole, 0.5)}, tmp_path / "w.lil", smallest=True)
    assert packed.path.stat().st_size < 200
    assert torch.equal(load_packed(packed.path).quantized("w").integers.to(whole.dtype), whole)


@needs_compiler
def test_taps_tell_of_each_other_in_each_filter():
    """Filters whose taps are sums of normal steps, of 3 a deviation: these steps are paid for."""
    filters = related(4096, 9, 3).reshape(-1)
    steps = len(filters) * math.log2(3 * math.sqrt(2 * math.pi * math.e)) / 8
    assert len(shortest_mixed(filters, 576, 1 << 20, [Kernel(9)])) < 1.02 * steps


def entropy_bytes(values):
    counts = np.unique(values, return_counts=True)[1]
    return float(counts @ np.log2(counts.sum() / counts)) / 8


@needs_compiler
@pytest.mark.parametrize("scale", [0.3, 2, 40])
def test_unrelated_integers_take_their_entropy(scale):
    values = np.rint(np.random.default_rng(1).normal(size=(512, 256)) * scale).astype(np.int32)
    size = len(shortest_mixed(values.reshape(-1), 256, 1 << 20))
    assert size < 1.004 * entropy_bytes(values) + 60


@needs_compiler
def test_what_columns_tell_of_each_other_is_not_paid_for():
    """Columns with a common part of half their variance, shuffled: no neighbour tells it."""
    rng = np.random.default_rng(5)
    factors = rng.normal(size=(8, 64))
    real = rng.normal(size=(3000, 8)) @ factors / 8**0.5 + rng.normal(size=(3000, 64))
    values = np.rint(real * 2).astype(np.int32)
    covariance = np.eye(64) + factors.T @ factors / 8
    apart = np.log2(np.diag(covariance)).sum() - np.linalg.slogdet(covariance)[1] / math.log(2)
    possible = len(values) * apart / 2 / 8
    size = len(shortest_mixed(values.reshape(-1), 64, 1 << 20))
    by_column = sum(entropy_bytes(column) for column in values.T)
    assert by_column - size > 0.75 * possible


@needs_compiler
def test_rows_that_tell_of_each_other_are_coded_in_columns():
    values = related(2000, 24, 3)
    down = len(shortest_mixed(values.reshape(-1), 24, 1 << 20))
    across = len(shortest_mixed(np.ascontiguousarray(values.T).reshape(-1), 2000, 1 << 20))
    assert abs(across / down - 1) < 0.01


def test_python_finds_the_block_without_a_compiler(monkeypatch):
    monkeypatch.setattr(smallest, "native_mixing", lambda: None)
    values = related(10, 4, 2).reshape(-1)
    data = shortest_mixed(values, 4, 1 << 20)
    np.testing.assert_array_equal(decode_mixed(data, 40, 4, "a block"), values)


def test_decisions_take_their_entropy_and_come_back():
    rng = np.random.default_rng(0)
    shares = rng.integers(22, 65_514, 3000).tolist()
    bits = [int(rng.integers(65_536) < share) for share in shares]
    coder = BitEncoder()
    for share, bit in zip(shares, bits, strict=True):
        coder.decide(share, bit)
    data = coder.end()
    ideal = sum(
        -math.log2((s if b else 65_536 - s) / 65_536) for s, b in zip(shares, bits, strict=True)
    )
    assert len(data) < ideal / 8 + 6
    decoder = BitDecoder(data, "a code")
    assert [decoder.decide(share, 0) for share in shares] == bits
    decoder.end()


def test_tables_are_the_functions_they_stand_for():
    for value in (1, 2, 3, 255, 256, 1000, 65_537, (1 << 24) + 4):
        assert abs(logarithm(value) - 256 * math.log(value)) < 1.6
    places = np.arange(1, 4096)
    logistic = 65_536 / (1 + np.exp(-(places - 2048) / 256))
    np.testing.assert_allclose(_squash()[1:], logistic, atol=1.01)
    share = (np.arange(4096) + 0.5) / 4096
    odds = np.clip(256 * np.log(share / (1 - share)), -2047, 2047)
    np.testing.assert_allclose(_stretch(), odds, atol=2)


def test_densities_are_normal():
    spread = 700  # mean distance in 256ths
    sides = _Sides(4, 300, (1 << 36) // spread)
    deviation = spread * (math.pi / 2) ** 0.5
    for start in (1, 2, 5, 9):
        upper = norm.sf((256 * start - 128 - 300) / deviation)
        lower = norm.sf((256 * start - 128 + 300) / deviation)
        assert abs(sides.upper(start) / 2**24 - upper) < 2e-3
        assert abs(sides.lower(start) / 2**24 - lower) < 2e-3


def test_regression_foretells_as_least_squares_do():
    rng = np.random.default_rng(3)
    rows, columns = 320, 6
    mixing = np.tril(rng.normal(size=(columns, columns)), -1) / 2 + np.eye(columns)
    values = np.rint(rng.normal(size=(rows, columns)) @ mixing.T * 40).astype(int)
    regression = Regression(columns)
    for row in values[:-1]:
        for column, value in enumerate(row.tolist()):
            regression.saw(column, value, regression.foretold(column))
        regression.end_row()
    seen, last = values[:288].astype(float), values[-1]  # 288 rows is when it last fitted
    for column, value in enumerate(last.tolist()):
        foretold = regression.foretold(column)
        solved = np.linalg.lstsq(seen[:, :column], seen[:, column], rcond=None)[0]
        assert abs(foretold / 256 - last[:column] @ solved) < 4
        regression.saw(column, value, foretold)


def test_blocks_that_cannot_be_are_refused():
    values = related(2, 600, 2).reshape(-1)
    head = Head(0, is_turned=False, group=500, neighbours=(1, 2, 3, 4))
    data = replace(head, group=3).fields + bytes(8)
    decoders = [decode_mixed]
    if native.native_mixing():
        decoders.append(native.native_mixing().decode)
    for decode in decoders:
        with pytest.raises(PackError):
            decode(head.fields + bytes(30), len(values), 600, "a block")
        with pytest.raises(PackError, match="cut off"):
            decode(data[:-6], 39, 3, "a block")


@needs_compiler
def test_the_smallest_file_is_smaller_and_the_same(tmp_path):
    values = torch.from_numpy(related(300, 40, 1))
    state = {"w": Quantized(values, 0.5), "b": torch.randn(40), "n": torch.arange(90) % 7}
    plain = pack_model(state, tmp_path / "plain.lil").path.stat().st_size
    packed = pack_model(state, tmp_path / "max.lil", smallest=True)
    assert packed.path.stat().st_size < 0.8 * plain
    opened = load_packed(packed.path)
    assert torch.equal(opened.quantized("w").integers, values.to(torch.int8))
    assert torch.equal(opened["b"], state["b"])
    assert torch.equal(opened["n"], state["n"])


def test_the_block_of_the_page_decodes_to_its_table():
    section = PAGE.read_text().split("### An example of mixing")[1]
    dump, table = re.findall(r"```\n(.*?)```", section, re.S)[:2]
    data = bytes.fromhex("".join(line[5:] for line in dump.splitlines()))
    values = np.array([line.split() for line in table.splitlines()], np.int32)
    found = decode_mixed(data[1:], values.size, values.shape[1], "the example")
    np.testing.assert_array_equal(found.reshape(values.shape), values)
