"""Blocks are made anew byte for byte, and fields that do not suit are refused."""

from dataclasses import replace

import numpy as np
import pytest

from lilliput.core import PackError
from lilliput.pack.choose import draft_block
from lilliput.pack.mixing import Head, encode_mixed
from lilliput.pack.plan import encode_plans, planned
from lilliput.pack.predict import Kernel
from lilliput.pack.updates import recode
from lilliput.pack.updates.recode import (
    Apart,
    lines_in,
    mixed_again,
    mixed_head,
    plan_again,
    taken_apart,
)


def integers(kind, rows=40, columns=60):
    rng = np.random.default_rng(0)
    found = rng.integers(-9, 9, (rows, columns))
    if kind == "rows":
        found *= 1 + 8 * (np.arange(rows) % 3)[:, None]
    if kind == "columns":
        found[:, ::4] = 0
    if kind == "far":
        found[::7, ::9] = 1 << 29
    if kind == "filters":
        found = found.cumsum(1) % 40
    if kind == "sparse":
        found[rng.random(found.shape) < 0.95] = 0
    return found.reshape(-1).astype(np.int32)


@pytest.mark.parametrize("kind", ["plain", "rows", "columns", "far", "filters", "sparse"])
@pytest.mark.parametrize("columns", [60, 17])
def test_a_block_is_made_anew(kind, columns):
    values = integers(kind)
    block = encode_plans(planned([draft_block(values, columns, [Kernel(6)])]))[0]
    apart = taken_apart(block, len(values), columns, "it")
    assert lines_in(apart.head, len(values), columns, "it") == (len(apart.rows), len(apart.columns))
    assert block.startswith(apart.head)
    assert encode_plans([plan_again(values, columns, apart, "it")])[0] == block


def test_fields_that_do_not_suit_are_refused():
    values = integers("rows")
    block = encode_plans(planned([draft_block(values, 60)]))[0]
    apart = taken_apart(block, len(values), 60, "it")
    assert len(apart.rows)
    far = values.copy()
    far[5] = 1 << 20
    rows = apart.rows.copy()
    rows[3] = 200
    for given, parts in (
        (far, apart),
        (values, replace(apart, rows=apart.rows[1:])),
        (values, replace(apart, rows=rows)),
        (values, replace(apart, head=apart.head + b"\0")),
        (values, replace(apart, head=apart.head[:-1])),
        (values[:-1], apart),
    ):
        with pytest.raises(PackError):
            plan_again(given, 60, parts, "it")


def test_a_token_of_no_frequency_is_refused():
    head = bytes([1, 0, 0, 2, 0, 0, 0, 0, 0, 2, 0, 255, 15, 1, 255, 15])  # tokens 0 and 2 of three
    nothing = np.zeros(0, np.uint8)
    apart = Apart(head, nothing, nothing)
    plan_again(np.array([0, 1, 1], np.int32), 3, apart, "it")
    with pytest.raises(PackError, match="it has integers that its tables do not know"):
        plan_again(np.array([0, -1, 1], np.int32), 3, apart, "it")


@pytest.mark.parametrize("is_native", [True, False])
def test_a_mixed_block_is_made_anew(is_native, monkeypatch):
    if not is_native:
        monkeypatch.setattr(recode, "native_mixing", lambda: None)
    values = np.cumsum(integers("plain", 12, 9).reshape(12, 9), 0).reshape(-1).astype(np.int32)
    block = encode_mixed(values, 9, Head(1, True, False, (1, 9, 2, 18)))
    head = mixed_head(block, "it")
    assert block.startswith(head)
    assert mixed_again(values, 9, head, "it") == block
    for wrong in (head[:-1], head + b"\0"):
        with pytest.raises(PackError):
            mixed_again(values, 9, wrong, "it")
    with pytest.raises(PackError, match="do not suit"):
        mixed_again(values[:0], 9, head, "it")
