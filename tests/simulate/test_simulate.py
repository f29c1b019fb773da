"""The files themselves are the oracle: the simulation gives what they give, bit for bit."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.export.nets import cifar10
from tests.simulate.nets import images, int8, large_biases
from torch import Tensor, nn

from lilliput.core import Model, UnsupportedError, run
from lilliput.export import export, load
from lilliput.quantize import QuantizeStatic, quantizers
from lilliput.simulate import TfliteReference, Xnnpack, simulate
from lilliput.targets import get_target

TARGETS = ["onnxruntime-cpu", "litert-cpu"]


def outputs(model: Model, x: Tensor) -> np.ndarray:
    with torch.no_grad():
        return np.asarray(model.module(x).numpy())


def from_file(model: Model, target: str, folder: Path, x: Tensor) -> np.ndarray:
    artifact = export(model, get_target(target), folder)
    return load(artifact.path, artifact.format)((x.numpy(),))[0]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("net", ["everything", "tokens", "pools"])
def test_is_bit_for_bit_what_onnx_runtime_gives(net: str, seed: int, tmp_path: Path) -> None:
    model, x = int8(net, "onnxruntime-cpu", seed), images(seed + 10)
    wanted = from_file(model, "onnxruntime-cpu", tmp_path, x)
    given = outputs(simulate(model, get_target("onnxruntime-cpu")), x)
    np.testing.assert_array_equal(given, wanted)


def test_is_bit_for_bit_what_litert_gives(tmp_path: Path) -> None:
    model, x = int8("everything", "litert-cpu"), images(10)
    wanted = from_file(model, "litert-cpu", tmp_path, x)
    np.testing.assert_array_equal(outputs(simulate(model, get_target("litert-cpu")), x), wanted)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 4))
@pytest.mark.parametrize("net", ["everything", "tokens", "pools"])
def test_is_bit_for_bit_what_litert_gives_for_any_scales(
    net: str, seed: int, tmp_path: Path
) -> None:
    model, x = int8(net, "litert-cpu", seed), images(seed + 10)
    wanted = from_file(model, "litert-cpu", tmp_path, x)
    np.testing.assert_array_equal(outputs(simulate(model, get_target("litert-cpu")), x), wanted)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("net", ["everything", "tokens", "pools"])
def test_is_bit_for_bit_what_executorch_gives(net: str, seed: int, tmp_path: Path) -> None:
    pytest.importorskip("executorch")
    model, x = int8(net, "executorch-cpu", seed), images(seed + 10)
    wanted = from_file(model, "executorch-cpu", tmp_path, x)
    given = outputs(simulate(model, get_target("executorch-cpu")), x)
    np.testing.assert_array_equal(given, wanted)


@pytest.mark.slow
def test_executorch_s_own_rounding_shows_on_ties_and_large_biases(tmp_path: Path) -> None:
    pytest.importorskip("executorch")
    target = get_target("executorch-cpu")
    model = large_biases(target.name)
    scale = next(q.scale for q in quantizers(model.module).values() if q.axis is None)
    draw = torch.Generator().manual_seed(1)
    x = (torch.randint(-120, 120, (64, 3, 8, 8), generator=draw) + 0.5) * scale
    x = torch.nextafter(x, x + torch.randint(-1, 2, x.shape, generator=draw))
    wanted = from_file(model, target.name, tmp_path, x)
    np.testing.assert_array_equal(outputs(simulate(model, target), x), wanted)
    assert not np.array_equal(outputs(simulate(model, target, Xnnpack()), x), wanted)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_is_bit_for_bit_what_the_reference_kernels_give(seed: int, tmp_path: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    target = get_target("litert-cpu")
    model, x = int8("everything", target.name, seed), images(10)
    path = export(model, target, tmp_path).path
    kernels = OpResolverType.BUILTIN_REF
    interpreter = Interpreter(str(path), experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    (entry,), (end,) = interpreter.get_input_details(), interpreter.get_output_details()
    simulated = simulate(model, target, TfliteReference())
    for one in x.split(1):
        scale, zero_point = entry["quantization"]
        codes = np.clip(np.round(one.numpy() / np.float32(scale)) + zero_point, -128, 127)
        interpreter.set_tensor(entry["index"], codes.astype(np.int8))
        interpreter.invoke()
        scale, zero_point = end["quantization"]
        wanted = interpreter.get_tensor(end["index"]).astype(np.int32) - zero_point
        given = np.round(outputs(simulated, one) / np.float32(scale))
        np.testing.assert_array_equal(given, wanted)


@pytest.mark.slow
@pytest.mark.parametrize("target", [*TARGETS, "executorch-cpu"])
@pytest.mark.parametrize("depth", [20, 56])
def test_trained_nets_give_what_their_files_give(target: str, depth: int, tmp_path: Path) -> None:
    if target == "executorch-cpu":
        pytest.importorskip("executorch")
    data = cifar10()
    rules = get_target(target).rules
    assert rules is not None
    model = run(data.trained(depth), [QuantizeStatic(rules, data.task(), samples=256)])
    x = data.normalise(data.images("test")[0][:200])
    wanted = from_file(model, target, tmp_path, x)
    np.testing.assert_array_equal(outputs(simulate(model, get_target(target)), x), wanted)


@pytest.mark.parametrize("target", TARGETS)
def test_leaves_the_network_as_it_was(target: str) -> None:
    model = int8("everything", target)
    x, names = images(10), list(quantizers(model.module))
    before = outputs(model, x)
    simulated = simulate(model, get_target(target))
    assert list(quantizers(model.module)) == names
    assert not quantizers(simulated.module)
    assert simulated.history == model.history
    np.testing.assert_array_equal(outputs(model, x), before)


def test_operators_that_runtimes_have_in_floats_run_in_floats() -> None:
    model = int8("everything", "onnxruntime-cpu")
    simulated = simulate(model, get_target("onnxruntime-cpu"))
    operators = [node.name for node in simulated.module.graph.nodes if node.op == "call_function"]
    # all that is left moves data
    assert operators == ["max_pool2d", "slice_1", "slice_2", "flatten"]


def test_refuses_a_network_without_quantizers() -> None:
    model = Model(nn.Conv2d(3, 4, 3), (images(0),))
    with pytest.raises(UnsupportedError, match="Conv2d has no quantizers to simulate"):
        simulate(model, get_target("onnxruntime-cpu"))


def test_refuses_a_runtime_it_does_not_know() -> None:
    target = replace(get_target("litert-cpu"), name="elsewhere", format="coreml")
    with pytest.raises(UnsupportedError, match="'elsewhere' runs 'coreml' files"):
        simulate(int8("tokens", "litert-cpu"), target)


def test_refuses_quantizers_of_another_target() -> None:
    with pytest.raises(UnsupportedError):
        simulate(int8("tokens", "litert-cpu"), get_target("onnxruntime-cpu"))
