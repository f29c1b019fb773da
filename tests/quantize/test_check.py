import pytest

from lilliput.core import Model, Task, UnsupportedError, run
from lilliput.quantize import QuantizeStatic, check_rules
from lilliput.targets import get_target, target_names
from lilliput.testing import TINY_TASKS

Quantized = dict[str, Model]


@pytest.fixture(scope="module")
def quantized() -> Quantized:
    def of(task: Task, model: Model, name: str) -> Model:
        return run(model, [QuantizeStatic(get_target(name).rules, task, samples=8)])

    model, task = TINY_TASKS["image_classifier"]()
    return {name: of(task, model, name) for name in target_names()}


@pytest.mark.parametrize("name", target_names())
def test_what_a_targets_rules_made_suits_it(quantized: Quantized, name: str) -> None:
    module = quantized[name].clone().module
    check_rules(module, get_target(name).rules, name)


def test_the_quantizer_that_breaks_the_rules_is_named(quantized: Quantized) -> None:
    message = (
        "image_quantizer gives uint8 with a zero point per tensor, but 'litert-cpu' wants int8 "
        r"with a zero point per tensor; quantize with rules=get_target\('litert-cpu'\).rules"
    )
    module = quantized["onnxruntime-cpu"].module
    with pytest.raises(UnsupportedError, match=message):
        check_rules(module, get_target("litert-cpu").rules, "litert-cpu")


def test_a_float_network_suits_every_target() -> None:
    check_rules(TINY_TASKS["image_classifier"]()[0].module, get_target("litert-cpu").rules, "x")
