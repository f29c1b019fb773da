import torch
from torch import Tensor, fx, nn

from lilliput.core import Model, Task, run
from lilliput.core.accuracy import Accuracy
from lilliput.graph import operator_of
from lilliput.quantize import QuantizeStatic
from lilliput.quantize.beside.distance import Divergence, SquaredError
from lilliput.quantize.rounding.fisher import fisher_weights
from lilliput.targets import get_target

RULES = get_target("onnxruntime-cpu").rules


def quantized(net: nn.Module, x: Tensor) -> tuple[fx.GraphModule, fx.Node]:
    """The network with quantizers, and the node that gives what its ReLU gives."""
    task = Task("toy", [(x, x)], [(x, x)], lambda y, _: y.square().mean(), Accuracy())
    module = run(Model(net.eval(), (x[:2],)), [QuantizeStatic(RULES, task)]).module
    (place,) = [node for node in module.graph.nodes if operator_of(node) == "relu"]
    return module, place


def test_is_the_diagonal_of_the_fisher_matrix_of_the_softmax() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    x = torch.randn(400, 6)
    module, place = quantized(net, x)
    batches = [(part,) for part in x.split(50)]
    found = fisher_weights(module, batches, [place], Divergence())[place]
    # by the formula: J' (diag(p) - p p') J, with J the last layer's weight
    p, weight = net(x).softmax(1), net[2].weight
    matrix = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    diagonal = torch.einsum("ci,bcd,di->i", weight, matrix, weight)
    torch.testing.assert_close(found, (diagonal / diagonal.mean()).detach(), rtol=0.15, atol=0)


def test_is_that_of_the_squared_error_for_other_outputs() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    x = torch.randn(800, 6)
    module, place = quantized(net, x)
    found = fisher_weights(module, [(x,)], [place], SquaredError())[place]
    norms = net[2].weight.square().sum(0)
    torch.testing.assert_close(found, (norms / norms.mean()).detach(), rtol=0.15, atol=0)


def test_what_no_output_depends_on_is_left_out_and_the_network_stays() -> None:
    net = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    nn.init.zeros_(net[2].weight)
    x = torch.randn(20, 6)
    module, place = quantized(net, x)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    assert fisher_weights(module, [(x,)], [place], Divergence()) == {}
    assert fisher_weights(module, [(x,)], [], Divergence()) == {}
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])
