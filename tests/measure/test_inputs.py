"""A file and a task that do not belong together are told apart before anything runs."""

from pathlib import Path

import numpy as np
import pytest

from lilliput.core import MeasureError
from lilliput.export import TensorSpec
from lilliput.measure.inputs import check_inputs

TOKENS = TensorSpec("tokens", (None, 10), "int64")
MASK = TensorSpec("mask", (None, 1, None), "bool")


def check(takes, *shapes):
    check_inputs(Path("out/model.onnx"), takes, [np.zeros(shape) for shape in shapes])


def test_any_batch_and_any_free_size_fit():
    check([TOKENS, MASK], (1, 10), (1, 1, 7))
    check([TOKENS, MASK], (64, 10), (64, 1, 9))
    check([TensorSpec("x", (4, 3), "float32")], (9, 3))


@pytest.mark.parametrize(
    ("takes", "shapes", "said"),
    [
        (
            [TOKENS, MASK],
            [(1, 3, 8, 8)],
            r"out/model\.onnx takes 2 inputs, tokens \[batch, 10\], mask \[batch, 1, any\], but "
            r"the task gives 1 input, of shape \[1, 3, 8, 8\]",
        ),
        ([TOKENS], [(2, 10), (2, 10)], "takes 1 input, .* gives 2 inputs"),
        ([TOKENS], [(2, 12)], r"takes input tokens \[batch, 10\], .* gives \[2, 12\]"),
        ([TOKENS], [(2, 10, 1)], r"\[batch, 10\], .* gives \[2, 10, 1\]"),
        ([TOKENS], [()], r"gives \[\]"),
        ([TOKENS, MASK], [(2, 10), (2, 2, 5)], r"input mask \[batch, 1, any\], .* \[2, 2, 5\]"),
    ],
)
def test_what_does_not_fit_is_named_with_what_would(takes, shapes, said):
    with pytest.raises(MeasureError, match=said):
        check(takes, *shapes)
