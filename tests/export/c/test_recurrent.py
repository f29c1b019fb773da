"""Recurrent networks: those whose steps are written out become C, loops are refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.export.c.layers import scale, weights, zero
from tests.export.c.nets import Net
from tests.export.c.oracle import Compiled, check_against_litert, reference
from torch import nn

from lilliput.core import UnsupportedError
from lilliput.export.c.generate import generate
from lilliput.export.c.read import read_network
from lilliput.export.quiet import quiet

pytest.importorskip("ai_edge_litert")

STEPS, FEATURES, HIDDEN = 10, 8, 12
SIGMOID, TANH = (1 / 256, -128), (1 / 128, 0)
"""Scale and zero point that LiteRT asks of their outputs."""


class Cell:
    """The operators of a step, with scales drawn at random but for those that are fixed."""

    def __init__(self, rng) -> None:
        self.net, self.rng = Net(), rng

    def steps(self):
        """What is read at each step, as Keras takes it apart."""
        s, z = scale(self.rng), zero(self.rng)
        whole = self.net.given([1, STEPS, FEATURES], s, z)
        parts = [self.net.tensor([1, FEATURES], s, z) for _ in range(STEPS)]
        self.net.add("UNPACK", [whole], parts, "UnpackOptions", num=STEPS, axis=1)
        return parts, weights(self.net, self.rng, [self.gates * HIDDEN, FEATURES], 0, s)

    def kept(self, s, z):
        """The first state, and the weights that read states."""
        first = self.net.constant(np.full([1, HIDDEN], z, np.int8), s, z)
        return first, weights(self.net, self.rng, [self.gates * HIDDEN, HIDDEN], 0, s)

    def dense(self, x, parameters):
        y = self.net.tensor([1, self.gates * HIDDEN], 0.05, zero(self.rng))
        return self.net.add("FULLY_CONNECTED", [x, *parameters], [y], "FullyConnectedOptions")

    def gated(self, x):
        """A dense layer's output in parts."""
        how = self.net.tensors[x].quantization
        given = [1, HIDDEN], float(how.scale[0]), int(how.zeroPoint[0])
        outputs = [self.net.tensor(*given) for _ in range(self.gates)]
        axis = self.net.constant(np.asarray([1], np.int32))
        self.net.add("SPLIT", [axis, x], outputs, "SplitOptions", numSplits=self.gates)
        return outputs

    def two(self, kind, a, b, scaling=None):
        y = self.net.tensor(
            self.net.tensors[a].shape.tolist(), *(scaling or (0.04, zero(self.rng)))
        )
        return self.net.add(kind, [a, b], [y], f"{kind.title()}Options")

    def sigmoid(self, x):
        return self.net.add("LOGISTIC", [x], [self.net.tensor([1, HIDDEN], *SIGMOID)])

    def tanh(self, x):
        return self.net.add("TANH", [x], [self.net.tensor([1, HIDDEN], *TANH)])


class LSTM(Cell):
    gates = 4

    def output(self):
        parts, reads = self.steps()
        states = 1 / 128, zero(self.rng)
        h, keeps = self.kept(*states)
        c = self.net.constant(np.zeros([1, HIDDEN], np.int8), 0.03, 0)
        for x in parts:
            gates = self.two("ADD", self.dense(x, reads), self.dense(h, keeps))
            i, f, n, o = self.gated(gates)
            old = self.two("MUL", self.sigmoid(f), c)
            new = self.two("MUL", self.sigmoid(i), self.tanh(n))
            c = self.two("ADD", old, new)
            h = self.two("MUL", self.sigmoid(o), self.tanh(c), states)
        return h


class GRU(Cell):
    gates = 3

    def output(self):
        parts, reads = self.steps()
        states = 1 / 128, zero(self.rng)
        h, keeps = self.kept(*states)
        for x in parts:
            read, kept = (self.gated(self.dense(*a)) for a in ((x, reads), (h, keeps)))
            r, z = (self.sigmoid(self.two("ADD", read[k], kept[k])) for k in (0, 1))
            n = self.tanh(self.two("ADD", read[2], self.two("MUL", r, kept[2])))
            h = self.two("ADD", n, self.two("MUL", z, self.two("SUB", h, n)), states)
        return h


@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_ten_steps_give_the_reference_integers(kind, tmp_path):
    rng = np.random.default_rng(0)
    cell = kind(rng)
    check_against_litert(cell.net, [cell.output()], rng, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [LSTM, GRU])
@pytest.mark.parametrize("seed", range(1, 10))
def test_many_give_the_reference_integers(kind, seed, tmp_path):
    rng = np.random.default_rng(seed)
    cell = kind(rng)
    check_against_litert(cell.net, [cell.output()], rng, tmp_path)


class Recurrent(nn.Module):
    """PyTorch's own layer, and a dense one after its last step."""

    def __init__(self, kind) -> None:
        super().__init__()
        self.layer = getattr(nn, kind)(FEATURES, HIDDEN, batch_first=True)
        self.last = nn.Linear(HIDDEN, 4)

    def forward(self, x):
        return self.last(self.layer(x)[0][:, -1])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_pytorch_s_layers_through_google_s_tools_answer_as_litert(kind, tmp_path):
    path = quantized_elsewhere(kind, tmp_path)
    ours, theirs = Compiled(path, tmp_path / "c"), reference(path)
    (index,) = (network := read_network(path)).inputs
    rng = np.random.default_rng(0)
    answers = set()
    for _ in range(50):
        x = rng.integers(-128, 128, network.tensors[index].shape, dtype=np.int8)
        (wanted,) = theirs([x])
        (found,) = ours([x], [wanted.shape])
        np.testing.assert_array_equal(found, wanted)
        answers.add(wanted.tobytes())
    assert len(answers) > 40


def quantized_elsewhere(kind: str, folder: Path) -> Path:
    """As the page on microcontrollers says it."""
    litert_torch = pytest.importorskip("litert_torch")
    from ai_edge_quantizer import quantizer, recipe

    torch.manual_seed(0)
    examples = torch.randn(32, STEPS, FEATURES)
    net = Recurrent(kind).eval()
    path = folder / "net.tflite"
    with quiet():  # PyTorch warns of its own layer's attributes
        litert_torch.convert(net, (examples[:1],)).export(str(folder / "float.tflite"))
        peer = quantizer.Quantizer(str(folder / "float.tflite"))
        peer.load_quantization_recipe(recipe.static_wi8_ai8())
        data = {"serving_default": [{"args_0": x[None].numpy()} for x in examples]}
        path.write_bytes(peer.quantize(peer.calibrate(data)).quantized_model)
    return path


@pytest.mark.parametrize(
    ("kind", "does"),
    [
        ("UNIDIRECTIONAL_SEQUENCE_LSTM", "keeps a state"),
        ("SVDF", "keeps a state"),
        ("WHILE", "runs another graph"),
    ],
)
def test_a_loop_is_refused_with_its_place_and_the_way_out(kind, does, tmp_path):
    net = Net()
    x = net.given([1, 4], 0.1)
    y, z = net.tensor([1, 4], 0.1), net.tensor([1, 4], 0.1)
    state = net.tensor([1, 4], 2**-15, dtype="int32")  # which nothing in the file makes
    net.add("RELU", [x], [y])
    net.add(kind, [y, state], [z])
    with pytest.raises(
        UnsupportedError, match=rf"operator 1 \({kind}\) {does}.*steps out.*nn.LSTM.*unroll=True"
    ):
        generate(net.write(tmp_path / "net.tflite", [z]))
