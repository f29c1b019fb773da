from hypothesis import given, strategies as st
from torch import Tensor, arange, bfloat16, float32, int32, tensor, zeros

from lilliput.core.digest import digest_of

PARTS = st.lists(st.text(max_size=3) | st.lists(st.integers(0, 3), max_size=3).map(tuple))


def tensors(parts: list[str | tuple[int, ...]]) -> list[str | Tensor]:
    return [part if isinstance(part, str) else tensor(part, dtype=int32) for part in parts]


@given(PARTS, PARTS)
def test_digests_are_equal_where_the_parts_are(ours: list, theirs: list) -> None:
    assert (digest_of(tensors(ours)) == digest_of(tensors(theirs))) == (ours == theirs)


def test_layout_and_gradients_do_not_count_but_type_and_shape_do() -> None:
    values = arange(6, dtype=float32).view(2, 3)
    turned = values.t().contiguous().t().requires_grad_()
    assert not turned.is_contiguous()
    assert digest_of([values]) == digest_of([turned])
    others = [values.view(3, 2), values.int(), values.to(bfloat16), values + 1, values.view(6)]
    assert len({digest_of([x]) for x in [values, *others]}) == 6


def test_any_type_and_any_number_of_axes_has_a_digest() -> None:
    some = [tensor(True), zeros(0, 4), tensor(1.0), tensor(1 + 2j)]
    assert len({digest_of([x]) for x in some}) == 4
