"""How far the file that OpenVINO runs is from fake quantization, and where that comes from.

LILLIPUT_DATA names the folder with CIFAR-10 and the given ResNet-20. Prints a line for each system.
"""

import sys
import tempfile
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor, fx

import lilliput as lp
from lilliput.export import export, load
from lilliput.graph import operator_of

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
from cifar10 import resnet20

IMAGES = 300


def main() -> None:
    """Compares both runtimes of one ONNX network with PyTorch."""
    model, task = resnet20()
    small = lp.run(model, [lp.QuantizeStatic(lp.get_target("openvino-cpu").rules, task)])
    batches = islice(task.batches("test"), IMAGES)
    images = torch.cat([x for (x,), _ in batches])[:IMAGES]
    with torch.no_grad():
        whole, fake = model.module.eval()(images), small.module(images)
    print(f"fake quantization: {divergence(whole, fake):.4f} from the float network")
    outputs = {}
    for name in ("onnxruntime-cpu", "openvino-cpu"):
        with tempfile.TemporaryDirectory() as folder:
            artifact = export(small, lp.get_target(name), folder)
            (found,) = load(artifact.path, artifact.format)((images.numpy(),))
        outputs[name] = torch.from_numpy(found)
        print(f"{name}: {divergence(whole, outputs[name]):.4f} from the float network")
        tell(name, fake, outputs[name])
    assert isinstance(small.module, fx.GraphModule)  # noqa: S101
    sum_before_rounding(small.module)
    with torch.no_grad():
        tell("openvino-cpu, sums before rounding", small.module(images), outputs["openvino-cpu"])


def sum_before_rounding(module: fx.GraphModule) -> None:
    """Switches off the quantizers between convolutions and sums."""
    for node in module.graph.nodes:
        source = node.args[0] if node.op == "call_module" and node.args else None
        follows = isinstance(source, fx.Node) and operator_of(source) == "conv2d"
        if follows and any(operator_of(user) == "add" for user in node.users):
            module.get_submodule(str(node.target)).is_enabled = False


def tell(name: str, ours: Tensor, theirs: Tensor) -> None:
    """Differences in steps of 1/255 of the range of the outputs."""
    steps = (ours - theirs).abs() / (ours.max() - ours.min()) * 255
    same = (ours.argmax(1) == theirs.argmax(1)).float().mean()
    print(
        f"{name}: KL {divergence(ours, theirs):.4f}, largest difference {steps.max():.1f} steps, "
        f"mean {steps.mean():.2f}, same class {same:.1%}"
    )


def divergence(ours: Tensor, theirs: Tensor) -> float:
    """The mean KL divergence of the softmax."""
    one, other = (torch.log_softmax(x.double(), 1) for x in (ours, theirs))
    return float((one.exp() * (one - other)).sum(1).mean())


if __name__ == "__main__":
    main()
