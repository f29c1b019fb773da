"""A model's state comes back lazily by tensor; what cannot be packed is refused by name."""

import math

import pytest
import torch

import lilliput as lp
from lilliput.core import PackError
from lilliput.pack import Quantized, pack, pack_model

STEP = 0.0123


@pytest.fixture
def state():
    generator = torch.Generator().manual_seed(0)
    integers = torch.randint(-20, 21, (64, 100), generator=generator, dtype=torch.int8)
    return {
        "conv.weight": Quantized(integers, STEP),
        "conv.bias": torch.randn(64, generator=generator),
        "half": torch.randn(3, 5, generator=generator).bfloat16(),
        "steps": torch.tensor(7),
        "double": torch.tensor([1.0, 2.0], dtype=torch.float64),
        "empty": torch.zeros(0, 3),
        "strided": torch.randn(6, 4, generator=generator).T,
    }


@pytest.fixture
def path(state, tmp_path):
    return pack_model(state, tmp_path / "net.lil").path


def test_every_tensor_comes_back(path, state):
    opened = lp.load_packed(path)
    assert list(opened) == list(state)
    for name, value in state.items():
        wanted = value.integers.double() * STEP if isinstance(value, Quantized) else value
        wanted = wanted.float() if isinstance(value, Quantized) else wanted
        assert opened[name].dtype == wanted.dtype
        assert torch.equal(opened[name], wanted)


def test_integers_and_steps_come_back(path, state):
    found = lp.load_packed(path).quantized("conv.weight")
    assert torch.equal(found.integers, state["conv.weight"].integers)
    assert found.step == STEP
    assert lp.load_packed(path).quantized("conv.bias") is None


def test_a_tensor_is_its_own(path):
    opened = lp.load_packed(path)
    opened["conv.bias"].zero_()
    assert opened["conv.bias"].any()


def test_a_network_takes_it_as_its_state(tmp_path):
    net = torch.nn.Linear(5, 3)
    pack_model(net.state_dict(), tmp_path / "net.lil")
    other = torch.nn.Linear(5, 3)
    other.load_state_dict(lp.load_packed(tmp_path / "net.lil"))
    assert torch.equal(other.weight, net.weight)


def test_other_tensors_open_where_one_is_damaged(path):
    opened = lp.load_packed(path)
    data = bytearray(path.read_bytes())
    data[opened.packed.data_start + 50] ^= 1
    path.write_bytes(data)
    assert opened["steps"] == 7
    with pytest.raises(
        PackError, match=r"block 0 of 1 of tensor 'conv\.weight' in net\.lil is dam"
    ):
        opened["conv.weight"]


def test_unknown_names_are_key_errors(path):
    with pytest.raises(KeyError):
        lp.load_packed(path)["none"]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_nan_and_infinity_are_refused(value, tmp_path):
    with pytest.raises(PackError, match=r"tensor 'w' holds NaN or infinity"):
        pack_model({"w": torch.tensor([1.0, value])}, tmp_path / "net.lil")
    assert not (tmp_path / "net.lil").exists()


def test_complex_and_sparse_tensors_are_refused(tmp_path):
    with pytest.raises(PackError, match="tensor 'w' is complex64"):
        pack_model({"w": torch.zeros(2, dtype=torch.complex64)}, tmp_path / "net.lil")
    with pytest.raises(PackError, match=r"tensor 'w' is float32 .*sparse"):
        pack_model({"w": torch.eye(3).to_sparse()}, tmp_path / "net.lil")


def test_integers_beyond_32_bits_are_refused(tmp_path):
    wide = Quantized(torch.tensor([1 << 40]), 1.0)
    with pytest.raises(PackError, match="more than 32 bits"):
        pack_model({"w": wide}, tmp_path / "net.lil")


def test_steps_and_integers_of_the_wrong_kind_are_refused():
    with pytest.raises(ValueError, match=r"step must be above 0 .*, got nan"):
        Quantized(torch.tensor([1]), math.nan)
    with pytest.raises(
        ValueError, match=r"integers must be of an integer type, got torch\.float32"
    ):
        Quantized(torch.tensor([1.0]), 1.0)


def test_a_packed_file_is_no_model(tmp_path):
    (tmp_path / "net.bin").write_bytes(b"data")
    made = pack(tmp_path / "net.bin")
    with pytest.raises(PackError, match="holds a file; give it back with lilliput unpack"):
        lp.load_packed(made.path)


def test_a_budget_is_kept(path):
    with pytest.raises(PackError, match="at most 1,000 are allowed"):
        lp.load_packed(path, most_bytes=1000)


def test_tied_tensors_are_stored_once(tmp_path):
    table = torch.randn(50, 40, generator=torch.Generator().manual_seed(0))
    alone = pack_model({"table": table}, tmp_path / "alone.lil").path.stat().st_size
    path = pack_model({"table": table, "head": table.T.contiguous().T}, tmp_path / "net.lil").path
    assert path.stat().st_size < alone + 60
    opened = lp.load_packed(path)
    assert torch.equal(opened["head"], table)
    opened["head"][0] = 0.0
    assert torch.equal(opened["table"], table)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"k" * 5000: torch.zeros(3)}, "'kkkk.*name of 5,000 bytes"),
        ({"w": torch.zeros([1] * 33)}, "33 axes; at most 4,096 and 32"),
        ({"w": torch.zeros(3, device="meta")}, "'w' is on the meta device"),
    ],
)
def test_what_no_reader_takes_leaves_the_old_file(tmp_path, path, given, message):
    before = path.read_bytes()
    with pytest.raises(PackError, match=message):
        pack_model(given, path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("given", [torch.nn.Linear(2, 2), {"w": 3.0}, {3: torch.zeros(2)}])
def test_what_is_no_state_is_refused(tmp_path, given):
    with pytest.raises(TypeError):
        pack_model(given, tmp_path / "net.lil")
