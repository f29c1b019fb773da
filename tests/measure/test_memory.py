import numpy as np
import pytest

from lilliput.measure import memory
from lilliput.measure.memory import MemoryRise

MB = 1 << 20


@pytest.mark.parametrize("has_peak", [True, False])
def test_the_rise_is_what_was_held_at_once(monkeypatch, has_peak):
    if not has_peak:
        monkeypatch.setattr(memory, "_reset_peak", lambda: False)
    np.ones(120 * MB, np.uint8)  # before: must not count
    with MemoryRise() as rise:
        for _ in range(2):
            held = np.ones(40 * MB, np.uint8)
            held.sum()
            del held
    assert rise.peak_bytes == pytest.approx(40 * MB, rel=0.1)


def test_nothing_done_is_next_to_no_rise():
    with MemoryRise() as rise:
        pass
    assert rise.peak_bytes < 2 * MB
