"""Networks with zeros in their weights: less is computed, and every answer is the same."""

import os
from pathlib import Path

import numpy as np
import pytest
from tests.export.c.nets import Net
from tests.export.c.oracle import Compiled, reference

from lilliput.export.c.dead import without_dead_channels
from lilliput.export.c.lower.lower import lower
from lilliput.export.c.read import read_network

pytest.importorskip("ai_edge_litert")


def macs(network) -> int:
    return sum(step.macs for step in lower(network).steps)


class Sparse:
    """A chain of layers whose filters and taps are often zero."""

    def __init__(self, rng, size: int = 6, channels: int = 5) -> None:
        self.rng, self.net = rng, Net()
        self.shape = [1, size, size, channels]
        self.zero = int(rng.integers(-20, 20))
        self.x = self.net.given(self.shape, 0.05, self.zero)

    def weights(self, shape, axis):
        w = self.rng.integers(-127, 128, shape, dtype=np.int8)
        filters = np.moveaxis(w, axis, 0)
        filters[self.rng.random(shape[axis]) < 0.4] = 0
        if axis == 0:
            w[..., self.rng.random(shape[-1]) < 0.3] = 0
        bias = self.rng.integers(-4000, 4000, shape[axis], dtype=np.int32)
        bias[self.rng.random(shape[axis]) < 0.3] = 0
        scales = self.rng.uniform(0.005, 0.02, shape[axis]).astype(np.float32)
        return (
            self.net.constant(w, scales, axis=axis),
            self.net.constant(bias, scales * np.float32(0.05)),
        )

    def result(self, shape):
        self.shape = [int(n) for n in shape]
        self.zero = int(self.rng.integers(-20, 20))
        return self.net.tensor(self.shape, 0.05, self.zero)

    def convolve(self, kernel=3, is_padded=True):
        filters, size = int(self.rng.integers(3, 7)), self.shape[1]
        out = size if is_padded else size - kernel + 1
        inputs = [self.x, *self.weights([filters, kernel, kernel, self.shape[3]], 0)]
        y = self.result([1, out, out, filters])
        moves = {"strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1}
        fused = int(self.rng.integers(0, 2))
        self.x = self.net.add(
            "CONV_2D", inputs, [y], "Conv2DOptions", padding=int(not is_padded),
            fusedActivationFunction=fused, **moves,
        )  # fmt: skip

    def convolve_each(self):
        inputs = [self.x, *self.weights([1, 3, 3, self.shape[3]], 3)]
        y = self.result(self.shape)
        moves = {"strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1}
        self.x = self.net.add(
            "DEPTHWISE_CONV_2D", inputs, [y], "DepthwiseConv2DOptions", padding=0,
            depthMultiplier=1, **moves,
        )  # fmt: skip

    def look_up(self):
        self.x = self.net.add("RELU", [self.x], [self.result(self.shape)])

    def pool(self):
        y = self.net.tensor(
            [1, self.shape[1] // 2, self.shape[2] // 2, self.shape[3]], 0.05, self.zero
        )
        self.shape = [1, self.shape[1] // 2, self.shape[2] // 2, self.shape[3]]
        moves = {"strideH": 2, "strideW": 2, "filterHeight": 2, "filterWidth": 2}
        self.x = self.net.add("AVERAGE_POOL_2D", [self.x], [y], "Pool2DOptions", padding=1, **moves)

    def add(self):
        """Itself twice: a sum keeps all channels."""
        self.x = self.net.add("ADD", [self.x, self.x], [self.result(self.shape)], "AddOptions")

    def finish(self, path: Path) -> Path:
        axes = self.net.constant(np.asarray([1, 2], np.int32))
        y = self.result([1, self.shape[3]])
        x = self.net.add("MEAN", [self.x, axes], [y], "ReducerOptions")
        w = self.net.constant(self.rng.integers(-127, 128, [4, self.shape[1]], dtype=np.int8), 0.02)
        b = self.net.constant(self.rng.integers(-99, 99, 4, dtype=np.int32), 0.001)
        out = self.result([1, 4])
        return self.net.write(
            path, [self.net.add("FULLY_CONNECTED", [x, w, b], [out], "FullyConnectedOptions")]
        )


@pytest.mark.parametrize("seed", range(8))
def test_answers_stay_and_work_falls(seed, tmp_path):
    rng = np.random.default_rng(seed)
    net = Sparse(rng)
    layers = [net.convolve, net.convolve_each, net.look_up, lambda: net.convolve(1)]
    layers += [lambda: net.convolve(2, is_padded=False), net.add]
    net.convolve()
    for which in rng.integers(0, len(layers), 5):
        layers[which]()
    net.pool()
    net.convolve(1)
    path = net.finish(tmp_path / "net.tflite")
    network = read_network(path)
    assert macs(without_dead_channels(network)) < macs(network)
    ours, theirs = Compiled(path, tmp_path / "c"), reference(path)
    for _ in range(20):
        x = rng.integers(-128, 128, network.tensors[network.inputs[0]].shape, dtype=np.int8)
        (wanted,) = theirs([x])
        (found,) = ours([x], [wanted.shape])
        np.testing.assert_array_equal(found, wanted)


def test_weights_that_two_layers_share_stay_whole(tmp_path):
    net = Net()
    x = net.given([1, 4], 0.1, 0)
    w = net.constant(np.zeros([4, 4], np.int8), 0.1)
    first, second = net.tensor([1, 4], 0.1, 1), net.tensor([1, 4], 0.1, 2)
    net.add("FULLY_CONNECTED", [x, w, -1], [first], "FullyConnectedOptions")
    net.add("FULLY_CONNECTED", [first, w, -1], [second], "FullyConnectedOptions")
    network = read_network(net.write(tmp_path / "net.tflite", [second]))
    assert macs(without_dead_channels(network)) == macs(network) == 32


@pytest.mark.slow
def test_of_a_published_network_a_seventh_of_the_weights_is_left():
    path = Path(os.environ["LILLIPUT_DATA"]) / "mlperf-tiny" / "vww_96_int8.tflite"
    network = without_dead_channels(read_network(path))
    filtered = [o for o in network.operators if "CONV" in o.kind or o.kind == "FULLY_CONNECTED"]
    assert sum(network.constant(operator, 1).size for operator in filtered) == 29_286
    assert macs(network) == 3_733_073
