"""pack and unpack give back the same bytes; inspect tells the bits of each tensor."""

import json

import pytest
import torch
from safetensors.torch import load_file
from tests.pack.nets import onnx_file, pruned

from lilliput.pack import Quantized, load_packed, pack_model
from lilliput.quantize import SettleCoded
from lilliput.testing import TINY_TASKS


@pytest.fixture
def net(tmp_path):
    return onnx_file(tmp_path / "net.onnx", pruned())


def test_there_and_back(lilliput, net, tmp_path):
    done = lilliput("pack", net, "--json")
    assert done.json["path"] == f"{net}.lil"
    assert done.json["unpacked_bytes"] == net.stat().st_size > 3 * done.json["size_bytes"]
    before = net.read_bytes()
    net.unlink()
    back = lilliput("unpack", f"{net}.lil")
    assert back.code == 0
    assert str(net) in back.out
    assert net.read_bytes() == before


def test_o_says_where(lilliput, net, tmp_path):
    done = lilliput("pack", net, "-o", tmp_path / "small.lil")
    assert "times smaller" in done.out
    assert lilliput("unpack", tmp_path / "small.lil", "-o", tmp_path / "back").code == 0
    assert (tmp_path / "back").read_bytes() == net.read_bytes()


def test_max_is_no_larger_and_gives_the_same_bytes(lilliput, net, tmp_path):
    plain = lilliput("pack", net, "-o", tmp_path / "plain.lil", "--json").json
    small = lilliput("pack", net, "--max", "-o", tmp_path / "small.lil", "--json").json
    assert small["size_bytes"] <= plain["size_bytes"]
    assert lilliput("unpack", tmp_path / "small.lil", "-o", tmp_path / "back").code == 0
    assert (tmp_path / "back").read_bytes() == net.read_bytes()


def test_inspect_tells_bits_per_weight(lilliput, net):
    lilliput("pack", net)
    found = lilliput("inspect", f"{net}.lil", "--json").json
    tensors = {tensor["name"]: tensor for tensor in found["tensors"]}
    layer = tensors["layer1.w"]
    assert layer["shape"] == [64, 3, 3, 32]
    assert layer["bits_per_weight"] == 8 * layer["stored_bytes"] / (64 * 9 * 32)
    assert 0.7 < layer["bits_per_weight"] < 3
    whole = sum(tensor["stored_bytes"] for tensor in found["tensors"])
    assert whole + found["header_bytes"] == found["size_bytes"]
    text = lilliput("inspect", f"{net}.lil").out
    assert "bits per weight" in text
    assert "layer1.w" in text
    assert "layer1.w" in lilliput("inspect", f"{net}.lil", width=50).out


def test_a_model_is_unpacked_as_safetensors(lilliput, tmp_path):
    state = {"w": Quantized(torch.arange(-8, 8).reshape(4, 4), 0.5), "b": torch.ones(4)}
    pack_model(state, tmp_path / "net.lil")
    assert lilliput("inspect", tmp_path / "net.lil").code == 0
    assert lilliput("unpack", tmp_path / "net.lil", "--json").json["kind"] == "model"
    found = load_file(tmp_path / "net.safetensors")
    assert torch.equal(found["w"], torch.arange(-8, 8).reshape(4, 4) * 0.5)
    assert torch.equal(found["b"], torch.ones(4))


def test_errors_are_one_line(lilliput, net, tmp_path):
    lilliput("pack", net)
    done = lilliput("unpack", f"{net}.lil", "--most-bytes", "80kB")
    assert done.code == 1
    assert "at most 80,000 are allowed" in done.err
    assert "no packed file" in lilliput("unpack", net).err
    assert "cannot read" in lilliput("pack", tmp_path / "none").err


def test_a_network_is_packed_within_a_limit(lilliput, tmp_path):
    source = tmp_path / "net.py"
    source.write_text(
        "from lilliput.testing import TINY_TASKS\n"
        "def model():\n    return TINY_TASKS['image_classifier']()[0]\n"
        "def task():\n    return TINY_TASKS['image_classifier']()[1]\n"
    )
    limits = ("--max-size", "1.4kB", "--samples", "8", "-o", tmp_path / "net.lil")
    done = lilliput("pack", source, *limits, "--json")
    assert done.code == 0, done.err
    assert done.json["size_bytes"] == (tmp_path / "net.lil").stat().st_size <= 1400
    assert "QuantizeCoded" in done.json["notes"][-1]
    net = TINY_TASKS["image_classifier"]()[0].module
    assert any(isinstance(part, torch.nn.BatchNorm2d) for part in net.modules())
    net.load_state_dict(load_packed(tmp_path / "net.lil"))
    none = lilliput(
        "pack", source, "--max-size", "90B", "--samples", "8", "-o", tmp_path / "no.lil"
    )
    assert none.code != 0
    assert "bytes within 90 B; allow at least" in none.err
    assert (
        "--max-kl must be more than 0, got -1.0" in lilliput("pack", source, "--max-kl", "-1").err
    )
    assert "give one of" in lilliput("pack", source).err
    refused = lilliput("pack", tmp_path / "net.safetensors", "--max-kl", "0.1")
    assert "packed without loss" in refused.err


def test_a_recipe_is_applied_before_a_network_is_packed(lilliput, tmp_path):
    source, recipe = tmp_path / "net.py", tmp_path / "short.toml"
    source.write_text(
        "from lilliput.testing import TINY_TASKS\n"
        "def model():\n    return TINY_TASKS['image_classifier']()[0]\n"
        "def task():\n    return TINY_TASKS['image_classifier']()[1]\n"
    )
    recipe.write_text('[[pass]]\nname = "PruneWeights"\nsparsity = 0.8\n')
    out = ("-o", tmp_path / "net.lil", "--json")
    done = lilliput("pack", source, "--recipe", recipe, *out)
    assert done.code == 0, done.err
    net = TINY_TASKS["image_classifier"]()[0].module
    state = dict(load_packed(tmp_path / "net.lil"))
    net.load_state_dict(state)  # with the keys of its class
    assert sum(int((x == 0).sum()) for x in state.values()) > 0.6 * sum(
        x.numel() for x in state.values() if x.dim() > 1
    )
    recipe.write_text('[[pass]]\nname = "QuantizeCoded"\nmax_distance = 0.1\nsamples = 8\n')
    assert lilliput("pack", source, "--recipe", recipe, *out).code == 0
    net.load_state_dict(dict(load_packed(tmp_path / "net.lil")))  # BatchNorm is there too
    wrong = lilliput("pack", source, "--recipe", "deep-compresion", *out)
    assert "did you mean 'deep-compression'" in wrong.err
    both = lilliput("pack", source, "--recipe", recipe, "--max-kl", "1", *out)
    assert "got --max-kl, --recipe" in both.err


def test_a_network_whose_class_fits_no_more_is_packed_as_it_is(lilliput, tmp_path):
    source, recipe, out = tmp_path / "net.py", tmp_path / "half.toml", tmp_path / "net.lil"
    source.write_text(
        "from lilliput.testing import TINY_TASKS\n"
        "def model():\n    return TINY_TASKS['image_classifier']()[0]\n"
        "def task():\n    return TINY_TASKS['image_classifier']()[1]\n"
    )
    recipe.write_text(
        '[[pass]]\nname = "PruneChannels"\nratio = 0.5\n\n'
        '[[pass]]\nname = "QuantizeCoded"\nmax_distance = 0.1\nsamples = 8\n'
    )
    done = lilliput("pack", source, "--recipe", recipe, "-o", out, "--json")
    assert done.code == 0, done.err
    assert "has shape" in done.json["notes"][-1]
    assert "give the network as it was before QuantizeCoded" in done.json["notes"][-1]
    found, whole = load_packed(out), TINY_TASKS["image_classifier"]()[0].module.state_dict()
    assert not any("running_mean" in name for name in found)
    shared = [name for name in found if name in whole and whole[name].dim() > 1]
    assert any(found[name].numel() < whole[name].numel() for name in shared)


def test_training_that_was_stopped_goes_on(lilliput, tmp_path, monkeypatch):
    source, recipe, out = tmp_path / "net.py", tmp_path / "train.toml", tmp_path / "net.lil"
    source.write_text(
        "from lilliput.testing import TINY_TASKS\n"
        "def model():\n    return TINY_TASKS['image_classifier']()[0]\n"
        "def task():\n    return TINY_TASKS['image_classifier']()[1]\n"
    )
    recipe.write_text(
        '[[pass]]\nname = "QuantizeCodedAware"\n\n'
        '[[pass]]\nname = "FineTune"\nhooks = [{ name = "RatePenalty", bits = 2.0 }]\n\n'
        '[[pass]]\nname = "SettleCoded"\n'
    )
    out.write_bytes(b"of before")
    with monkeypatch.context() as change:
        change.setattr(SettleCoded, "__call__", _stop)
        assert lilliput("pack", source, "--recipe", recipe, "-o", out).code != 0
    assert out.read_bytes() == b"of before"
    begun = tmp_path / "net.lil.begun"
    assert json.loads((begun / "1" / "checkpoint.json").read_text())
    with monkeypatch.context() as change:
        change.setattr("lilliput.train.loop._Loop._step", _stop)  # nothing is trained again
        done = lilliput("pack", source, "--recipe", recipe, "-o", out)
    assert done.code == 0, done.err
    assert not begun.exists()
    TINY_TASKS["image_classifier"]()[0].module.load_state_dict(dict(load_packed(out)))


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


def test_inspect_says_what_is_missing_and_passes_no_escapes_on(lilliput, tmp_path):
    state = {"\x1b[31mred": torch.randn(40, 40), "last": torch.randn(40, 40)}
    path = pack_model(state, tmp_path / "net.lil").path
    done = lilliput("inspect", path)
    assert "\x1b" not in done.out
    assert "\\x1b[31mred" in done.out
    assert "missing" not in done.out
    path.write_bytes(path.read_bytes()[:-100])
    done = lilliput("inspect", path)
    assert "100 of its" in done.out
    assert "1 of its 2 tensors can be read" in done.out
