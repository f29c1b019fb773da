import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from lilliput.core import ExportError
from lilliput.export.format import in_batches, write_bytes


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 9), size=st.integers(1, 4))
def test_any_number_of_examples_goes_through_a_fixed_batch(count: int, size: int) -> None:
    seen = []

    def run(inputs: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        seen.append(len(inputs[0]))
        return inputs[0] * 2, inputs[1].sum(1)

    a = np.arange(count * 3).reshape(count, 3)
    b = -a
    doubled, sums = in_batches(run, (a, b), size)
    np.testing.assert_array_equal(doubled, a * 2)
    np.testing.assert_array_equal(sums, b.sum(1))
    assert set(seen) == {size}


def test_a_file_that_cannot_be_written_is_named_with_its_size(tmp_path) -> None:
    with pytest.raises(ExportError, match=r"nowhere.*No such file.*; 3 bytes were to be written"):
        write_bytes(tmp_path / "nowhere" / "file", b"abc")
