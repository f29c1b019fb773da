import functools
from dataclasses import replace

import pytest
import torch
from tests.quantize.nets import Branching, Joined, JoinedIntegers, Shuffled, imaged
from torch import fx, nn
from torch.fx import Node
from torch.nn import functional

from lilliput.core import IntegerType, Model, QuantizationRules, UnsupportedError
from lilliput.graph import operator_of
from lilliput.quantize import FakeQuantize, Precision
from lilliput.quantize.placing.insert import insert
from lilliput.quantize.placing.open_layers import operator_kind
from lilliput.targets import get_target, target_names
from lilliput.testing import TINY_TASKS

ORT, LITERT = (get_target(name).rules for name in ("onnxruntime-cpu", "litert-cpu"))


@functools.cache
def tiny_inserted(tiny: str, target: str) -> fx.GraphModule:
    """Networks that several tests only look at."""
    return inserted(TINY_TASKS[tiny]()[0], get_target(target).rules)


def inserted(model: Model, rules: QuantizationRules) -> fx.GraphModule:
    module = insert(model, rules, Precision()).model.module
    assert isinstance(module, fx.GraphModule)
    return module


def calls(module: fx.GraphModule, operator: str) -> list[Node]:
    return [node for node in module.graph.nodes if operator_kind(module, node) == operator]


def quantizer(module: fx.GraphModule, node: Node) -> FakeQuantize | None:
    part = module.get_submodule(str(node.target)) if node.op == "call_module" else None
    return part if isinstance(part, FakeQuantize) else None


def reads_integers(module: fx.GraphModule, node: Node) -> bool:
    source = node.all_input_nodes[0]
    if operator_kind(module, source) == "dropout":
        source = source.all_input_nodes[0]
    return quantizer(module, source) is not None


def gives_integers(module: fx.GraphModule, node: Node) -> bool:
    return all(quantizer(module, user) is not None for user in node.users)


@pytest.mark.parametrize("tiny", TINY_TASKS)
@pytest.mark.parametrize("target", target_names())
def test_quantizers_that_do_not_act_yet_change_nothing(tiny: str, target: str) -> None:
    model, _ = TINY_TASKS[tiny]()
    quantized = tiny_inserted(tiny, target)
    outputs = [module(*model.example_inputs) for module in (quantized, model.module)]
    torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("tiny", TINY_TASKS)
@pytest.mark.parametrize("target", target_names())
def test_every_weight_the_rules_name_is_integer_and_keeps_its_name(tiny: str, target: str) -> None:
    model, rules = TINY_TASKS[tiny]()[0], get_target(target).rules
    module = tiny_inserted(tiny, target)
    for kind in rules.quantized_operators & {"conv1d", "conv2d", "conv_transpose2d", "linear"}:
        for node in calls(module, kind):
            assert operator_of(node) == kind
            weight = quantizer(module, node.args[1])
            assert weight is not None
            assert weight.type == rules.weight
            assert str(node.args[1].args[0].target) in dict(model.module.named_parameters())
            assert reads_integers(module, node)


@pytest.mark.parametrize("tiny", TINY_TASKS)
def test_integers_and_masks_never_pass_a_quantizer(tiny: str) -> None:
    module = tiny_inserted(tiny, "litert-cpu")
    for node in module.graph.nodes:
        if quantizer(module, node) is not None and node.args[0].op != "get_attr":
            assert node.args[0].meta["val"].is_floating_point()


def test_a_relu_is_absorbed_and_a_residual_addition_runs_in_integers() -> None:
    module = tiny_inserted("image_classifier", "onnxruntime-cpu")
    (add,) = calls(module, "add")
    assert all(quantizer(module, source) is not None for source in add.all_input_nodes)
    (relu,) = add.users
    assert operator_kind(module, relu) == "relu"
    assert gives_integers(module, relu)


def test_moved_data_keeps_the_quantizer_it_has() -> None:
    module = tiny_inserted("image_classifier", "onnxruntime-cpu")
    for kind in ("max_pool2d", "flatten"):
        (node,) = calls(module, kind)
        (after,) = node.users
        assert after.target == node.args[0].target


def test_the_last_result_is_quantized_only_where_the_rules_say_so() -> None:
    model, _ = TINY_TASKS["two_output_regressor"]()
    for rules in (ORT, LITERT):
        module = inserted(model, rules)
        output = next(node for node in module.graph.nodes if node.op == "output")
        quantized = [quantizer(module, node) is not None for node in output.all_input_nodes]
        assert quantized == [rules.quantizes_outputs] * 2


def test_in_a_transformer_only_linear_layers_are_quantized() -> None:
    module = tiny_inserted("two_input_transformer", "onnxruntime-cpu")
    linears = calls(module, "linear")
    assert len(linears) == 5
    for node in module.graph.nodes:
        if quantizer(module, node) is not None and "is_weight" not in node.meta:
            assert any(user in linears or "dropout" in str(user) for user in node.users)
    for kind in ("add", "scaled_dot_product_attention"):
        for node in calls(module, kind):
            assert all(quantizer(module, source) is None for source in node.all_input_nodes)


def test_joined_tensors_share_one_scale_where_the_runtime_needs_it() -> None:
    model, _ = imaged(JoinedIntegers())
    for rules, scales in ((LITERT, 1), (ORT, 3)):
        module = inserted(model, rules)
        (cat,) = calls(module, "cat")
        around = [*cat.all_input_nodes, *cat.users]
        assert all(quantizer(module, node) is not None for node in around)
        assert len({node.target for node in around}) == scales


def test_a_float_input_that_is_joined_to_integers_becomes_one() -> None:
    model, _ = imaged(Joined())
    for rules in (LITERT, ORT):
        module = inserted(model, rules)
        (cat,) = calls(module, "cat")
        kinds = [quantizer(module, node) is not None for node in cat.all_input_nodes]
        assert kinds == [True, False, True] or all(kinds)


def test_chunks_shuffles_and_dropout_keep_the_scale() -> None:
    module = inserted(imaged(Shuffled())[0], LITERT)
    (relu6, after) = calls(module, "relu6")
    assert all(gives_integers(module, node) for node in (relu6, after))
    names = {str(node.target) for node in module.graph.nodes if quantizer(module, node)}
    activations = {name for name in names if not name.endswith("weight_quantizer")}
    assert len(activations) == 3  # the image, what is joined, and the last linear layer
    (dropout,) = calls(module, "dropout")
    assert all(quantizer(module, user) is None for user in dropout.users)


def test_a_factor_that_is_a_number_stays_between_floats() -> None:
    module = inserted(imaged(Shuffled())[0], LITERT)
    (mul,) = calls(module, "mul")
    assert not gives_integers(module, mul)


def test_a_result_with_two_readers_is_quantized_before_its_relu_and_odd_clips_stay() -> None:
    module = inserted(imaged(Branching())[0], LITERT)
    (relu,) = calls(module, "relu")
    assert reads_integers(module, relu)
    (after,) = relu.users
    assert after.target == relu.args[0].target
    (clip,) = calls(module, "hardtanh")
    assert reads_integers(module, clip)


def test_a_layer_called_twice_has_one_weight_quantizer() -> None:
    module = inserted(imaged(Branching())[0], LITERT)
    weights = [
        str(n.target) for n in module.graph.nodes if "is_weight" in n.meta and quantizer(module, n)
    ]
    assert sorted(weights) == ["a.weight_quantizer"] * 2 + ["b.weight_quantizer"] * 2


def test_a_transposed_convolution_has_its_channels_on_axis_1() -> None:
    model, _ = TINY_TASKS["image_to_image"]()
    quantizer_ = inserted(model, LITERT).get_submodule("up.weight_quantizer")
    assert isinstance(quantizer_, FakeQuantize)
    assert (quantizer_.axis, len(quantizer_.scale)) == (1, 8)
    per_tensor = replace(LITERT, weight=IntegerType(is_symmetric=True))
    quantizer_ = inserted(model, per_tensor).get_submodule("up.weight_quantizer")
    assert (quantizer_.axis, len(quantizer_.scale)) == (None, 1)


def test_weights_that_the_code_uses_itself_are_quantized_in_place() -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kernel = nn.Parameter(torch.randn(4, 6))
            self.query = nn.Parameter(torch.randn(2, 6))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return functional.linear(x, self.kernel) + functional.linear(self.query, self.kernel)

    module = inserted(Model(Functional().eval(), (torch.randn(2, 6),)), LITERT)
    assert isinstance(module.kernel_quantizer, FakeQuantize)
    assert isinstance(module.kernel, nn.Parameter)
    assert all(reads_integers(module, node) for node in calls(module, "linear"))


def test_a_network_without_such_layers_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedError, match=r"nothing to quantize.*conv2d.*linear"):
        insert(Model(nn.ReLU().eval(), (torch.randn(2, 3),)), LITERT, Precision())
