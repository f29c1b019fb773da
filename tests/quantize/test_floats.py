from typing import ClassVar

import pytest
import torch
from torch import nn

from lilliput.core import Model, Pass, PassError, run
from lilliput.quantize import ConvertFloat
from lilliput.targets import get_target
from lilliput.testing import PassContract


class TestConvertFloat(PassContract):
    tasks: ClassVar[tuple[str, ...]] = ("image_classifier",)

    @pytest.fixture
    def pass_(self) -> Pass:
        return ConvertFloat()


def linear(value: float) -> Model:
    layer = nn.Linear(2, 2)
    with torch.no_grad():
        layer.weight.fill_(value)
    return Model(layer.eval(), (torch.ones(1, 2),))


@pytest.mark.parametrize(("dtype", "step"), [("float16", 2**-10), ("bfloat16", 2**-7)])
def test_weights_keep_as_many_bits_as_the_type_has(dtype: str, step: float) -> None:
    # next to 1 the floats of p bits of precision are 2^(1-p) apart
    small = run(linear(1 + 0.6 * step), [ConvertFloat(dtype)])
    assert float(small.module.get_parameter("weight").detach()[0, 0]) == 1 + step


def test_what_is_too_large_is_refused_with_the_way_out() -> None:
    with pytest.raises(PassError, match=r"weight reaches 70,000.*ends at 65,504.*bfloat16"):
        run(linear(70_000.0), [ConvertFloat()])
    run(linear(70_000.0), [ConvertFloat("bfloat16")])


def test_a_type_that_the_target_does_not_store_is_told() -> None:
    rules = get_target("litert-cpu").rules
    (note,) = run(linear(1.0), [ConvertFloat("bfloat16", rules)]).notes
    assert "stored as float32" in note.text
    assert note.is_fallback
    assert not run(linear(1.0), [ConvertFloat("float16", rules)]).notes


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(ValueError, match="float16 or bfloat16, got 'float8'"):
        ConvertFloat("float8")
