"""A branch says exactly what the whole network says with the same quantizers on."""

import pytest
import torch
from tests.quantize.nets import Branching, JoinedIntegers, Shuffled, imaged
from torch.utils._pytree import tree_leaves

from lilliput.core import Model, Task, run
from lilliput.quantize import Precision, QuantizeStatic, RoundSecondOrder, quantizers
from lilliput.quantize.beside.branches import Branches
from lilliput.quantize.placing.sites import sites
from lilliput.targets import get_target
from lilliput.testing import TINY_TASKS

RULES = get_target("onnxruntime-cpu").rules
NETS = {
    **TINY_TASKS,
    "shuffled": lambda: imaged(Shuffled()),
    "branching": lambda: imaged(Branching()),
    "joined": lambda: imaged(JoinedIntegers()),
}


def quantized(name: str, bits: int = 4) -> tuple[Model, Task]:
    model, task = NETS[name]()
    passes = [QuantizeStatic(RULES, task, samples=64, precision=Precision({"*": bits}))]
    return run(model, passes), task


def by_hand(model: Model, inputs, acting: frozenset[str]):
    """The network itself, its quantizers switched one by one."""
    copy = model.clone().module.eval()
    for name, quantizer in quantizers(copy).items():
        quantizer.is_enabled = name in acting
    with torch.no_grad():
        return tree_leaves(copy(*inputs))


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("is_quantized", [False, True])
def test_each_site_switched_alone_is_as_by_hand(name: str, is_quantized: bool) -> None:
    model, task = quantized(name)
    inputs, _ = next(task.batches("validation"))
    flips = [site.weights | site.reads for site in sites(model.module)]
    every = frozenset(quantizers(model.module))
    usual = every if is_quantized else frozenset()
    given = dict(Branches(model.module).outputs(inputs, flips, is_quantized))
    assert sorted(given) == list(range(-1, len(flips)))
    for index, outputs in given.items():
        acting = usual ^ flips[index] if index >= 0 else usual
        expected = by_hand(model, inputs, acting)
        assert all(map(torch.equal, tree_leaves(outputs), expected))


def test_a_weight_that_was_rounded_is_the_float_one_while_its_quantizer_is_off() -> None:
    model, task = NETS["image_classifier"]()
    static = QuantizeStatic(RULES, task, precision=Precision({"*": 3}))
    rounded = run(model, [static, RoundSecondOrder(task, samples=64)])
    inputs, _ = next(task.batches("validation"))
    off = dict(Branches(rounded.module).outputs(inputs, (), is_quantized=False))[-1]
    with torch.no_grad():
        torch.testing.assert_close(off, model.module(*inputs), rtol=1e-4, atol=1e-5)
        on = dict(Branches(rounded.module).outputs(inputs, (), is_quantized=True))[-1]
        assert torch.equal(on, rounded.module(*inputs))


def test_every_quantizer_is_of_a_site_and_names_are_distinct() -> None:
    for name in NETS:
        model, _ = quantized(name)
        found = sites(model.module)
        owned = frozenset().union(*(site.weights | site.reads for site in found))
        assert owned == frozenset(quantizers(model.module))
        assert len({site.name for site in found}) == len(found)


def test_nothing_is_changed() -> None:
    model, task = quantized("image_classifier")
    before = {name: value.clone() for name, value in model.module.state_dict().items()}
    inputs, _ = next(task.batches("validation"))
    flips = [site.weights for site in sites(model.module) if site.is_layer]
    list(Branches(model.module).outputs(inputs, flips, is_quantized=True))
    after = model.module.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert all(quantizer.is_enabled for quantizer in quantizers(model.module).values())
