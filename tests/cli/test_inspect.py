"""inspect shows what each layer costs, and the sums are right."""

import time

import pytest
import torch
from tests.cli.test_model_file import GOOD

from lilliput.cli.model_file import load_model
from lilliput.core import Model
from lilliput.measure.layer_times import eager_times, layer_times

NET = (
    "nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), "
    "nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))"
)


@pytest.fixture
def conv_file(tmp_path):
    path = tmp_path / "conv.py"
    text = GOOD.replace("lp.Model(nn.Linear(3, 2), (torch.zeros(1, 3),))", "CONV", 1)
    path.write_text(text.replace("CONV", f"lp.Model({NET}.eval(), (torch.zeros(1, 3, 10, 10),))"))
    return path


def test_costs_follow_the_formulas(lilliput, conv_file):
    value = lilliput("inspect", conv_file, "--json").json
    layers = {layer["name"]: layer for layer in value["layers"]}
    assert layers["0"]["macs"] == 8 * 8 * 8 * 3 * 9
    assert layers["0"]["weight_bytes"] == 4 * 8 * 3 * 9
    assert layers["5"]["macs"] == 8 * 2
    for name in ("macs", "weight_bytes", "parameters"):
        assert value["totals"][name] == sum(layer[name] for layer in value["layers"])
    # input and output of the convolution, both needed while it runs
    assert value["totals"]["peak_activation_bytes"] >= 4 * (3 * 100 + 8 * 64)


def test_the_table_names_layers_totals_and_advice(lilliput, conv_file):
    called = lilliput("inspect", conv_file, "--target", "litert-cpu")
    assert called.code == 0
    assert "whole network" in called.out
    assert "fold into" in called.out
    assert "PyTorch eager, 1 thread" in called.out
    narrow = lilliput("inspect", conv_file, width=50)
    assert "whole network" in narrow.out


def test_every_module_layer_is_timed(conv_file):
    times = layer_times(load_model(str(conv_file)), repeats=3)
    assert set(times) == {"0", "1", "2", "3", "4", "5"}
    assert all(ms > 0 for ms in times.values())


class Sleeper(torch.nn.Module):
    def __init__(self, ms):
        super().__init__()
        self.ms = ms

    def forward(self, x):
        time.sleep(self.ms / 1000)
        return x


def test_the_networks_time_holds_what_no_layer_explains():
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = Sleeper(4)

        def forward(self, x):
            time.sleep(0.012)
            return self.layer(self.layer(x))

    net = Net()
    times = eager_times(Model(net, (torch.zeros(1, 2),)), repeats=3)
    assert 20 <= times.network_ms < 40
    assert times.layers_ms.keys() == {"layer"}
    assert 8 <= times.layers_ms["layer"] < times.network_ms - 10
    assert net.layer.forward.__func__ is Sleeper.forward  # it is timed in a copy


def test_the_total_is_the_networks_time_and_shares_are_of_it(lilliput, tmp_path):
    path = tmp_path / "attention.py"
    layer = "nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval()"
    path.write_text(GOOD.replace("nn.Linear(3, 2), (torch.zeros(1, 3),)", "LAYER", 1))
    text = path.read_text().replace("LAYER", f"{layer}, (torch.zeros(1, 5, 16),)")
    path.write_text(text)
    value = lilliput("inspect", path, "--json").json
    timed = [layer["ms"] for layer in value["layers"] if layer["ms"]]
    assert len(timed) < len(value["layers"])  # attention computes with weights, not with layers
    assert value["totals"]["layers_ms"] == pytest.approx(sum(timed))
    assert 0 < sum(timed) < value["totals"]["ms"]
    assert "the layers with a time explain" in lilliput("inspect", path).out


def test_an_unknown_target_is_one_line(lilliput, conv_file):
    called = lilliput("inspect", conv_file, "--target", "onnxruntime")
    assert called.code == 1
    assert "did you mean 'onnxruntime-cpu'?" in called.err
