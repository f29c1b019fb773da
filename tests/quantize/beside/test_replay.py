import torch
from torch import Tensor, nn

from lilliput.core import Model, Task, run
from lilliput.core.accuracy import Accuracy
from lilliput.quantize import QuantizeStatic
from lilliput.quantize.beside.replay import Replay, constants
from lilliput.targets import get_target


class Shortcut(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(5, 5), nn.Linear(5, 5)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.b(self.a(x).relu()).relu()


def quantized() -> tuple[Model, nn.Module, list[tuple[Tensor]]]:
    torch.manual_seed(0)
    net, x = Shortcut().eval(), torch.randn(12, 5)
    task = Task("toy", [(x, x)], [(x, x)], lambda y, _: y.square().mean(), Accuracy())
    model = run(Model(net, (x,)), [QuantizeStatic(get_target("onnxruntime-cpu").rules, task)])
    return model, net, [(part,) for part in x.split(5)]


def test_stretches_give_what_the_network_gives() -> None:
    model, net, batches = quantized()
    nodes = list(model.module.graph.nodes)
    for is_float, network in ((True, net), (False, model.module)):
        replay = Replay(model.module, batches, is_float)
        for start in range(0, len(nodes) - 1, 3):
            replay.advance(nodes[start : min(start + 3, len(nodes) - 1)])
        (result,) = nodes[-1].all_input_nodes
        with torch.no_grad():
            for given, (x,) in zip(replay[result], batches, strict=True):
                torch.testing.assert_close(given, network(x))


def test_holds_only_what_is_read_later() -> None:
    model, _, batches = quantized()
    nodes = list(model.module.graph.nodes)
    still = constants(model.module)
    replay = Replay(model.module, batches, is_float=False)
    for place, node in enumerate(nodes[:-1]):
        replay.advance([node])
        later = {source for other in nodes[place + 1 :] for source in other.all_input_nodes}
        expected = {n for n in nodes[: place + 1] if n in later and n not in still}
        assert replay.held == expected


def test_weights_are_constants_and_what_depends_on_inputs_is_not() -> None:
    model, _, _ = quantized()
    still = constants(model.module)
    names = {node.name for node in still}
    assert any("weight_quantizer" in name for name in names)
    for node in model.module.graph.nodes:
        if node.op == "placeholder":
            assert still.isdisjoint({node, *node.users})
