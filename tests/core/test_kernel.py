import pytest

from lilliput.core import IntegerType, Kernel, PerChannel, PerGroup

LINEAR = frozenset({"linear"})


def test_weights_are_stored_and_run_in_the_next_wider_width() -> None:
    kernel = Kernel(LINEAR, weight_bits=frozenset({8}), stored_bits=frozenset({4, 2}))
    assert [kernel.stored(bits) for bits in (2, 3, 4, 5, 8)] == [2, 4, 4, 8, 8]
    assert [kernel.run(bits) for bits in (2, 3, 4, 5, 8)] == [8] * 5


def test_what_runs_in_floats_reads_no_bits() -> None:
    assert Kernel(LINEAR, runs_in="floats").run(4) == 0


@pytest.mark.parametrize(
    ("kind", "activation_bits", "is_taken"),
    [
        (IntegerType(8), 8, True),
        (IntegerType(8), 16, False),
        (IntegerType(9), 8, False),
        (IntegerType(4, granularity=PerChannel()), 4, True),
        (IntegerType(4, granularity=PerGroup(32)), 8, False),
    ],
)
def test_takes_what_its_widths_and_scales_hold(
    kind: IntegerType, activation_bits: int, is_taken: bool
) -> None:
    assert Kernel(LINEAR).takes(kind, activation_bits) is is_taken


def test_groups_have_the_sizes_that_the_kernel_knows() -> None:
    groups = Kernel(LINEAR, granularities=frozenset({"PerGroup"}), group_sizes=frozenset({32}))
    assert groups.shares(PerGroup(32))
    assert not groups.shares(PerGroup(3))
    assert not groups.shares(PerChannel())
