"""inspect shows what each layer costs, and the sums are right."""

import pytest
from tests.cli.test_model_file import GOOD

from lilliput.cli.model_file import load_model
from lilliput.measure.layer_times import layer_times

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
    assert "all layers" in called.out
    assert "fold into" in called.out
    assert "PyTorch eager, 1 thread" in called.out
    narrow = lilliput("inspect", conv_file, width=50)
    assert "all layers" in narrow.out


def test_every_module_layer_is_timed(conv_file):
    times = layer_times(load_model(str(conv_file)), repeats=3)
    assert set(times) == {"0", "1", "2", "3", "4", "5"}
    assert all(ms > 0 for ms in times.values())


def test_an_unknown_target_is_one_line(lilliput, conv_file):
    called = lilliput("inspect", conv_file, "--target", "onnxruntime")
    assert called.code == 1
    assert "did you mean 'onnxruntime-cpu'?" in called.err
