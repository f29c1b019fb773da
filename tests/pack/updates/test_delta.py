"""An update makes the new file, byte for byte, of the old one and of no other."""

import hashlib

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests.pack.nets import onnx_file, pruned

import lilliput as lp
from lilliput.core import PackError
from lilliput.pack import Packed, Quantized, pack, pack_model
from lilliput.pack.updates import read_update
from lilliput.pack.updates.header import DIFFERENT, SAME, WHOLE

STEP = 0.02


def weights(seed=0, shape=(64, 200)):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape) / 25)


def rounded(weight):
    return Quantized((weight / STEP).round().int(), STEP)


def moved(weight, share, seed=1):
    return weight + share * weight.std() * weights(seed, tuple(weight.shape)) * 25


@pytest.fixture
def models(tmp_path):
    """Packs an old and a new state."""

    def make(old, new):
        return (
            pack_model(old, tmp_path / "old.lil").path,
            pack_model(new, tmp_path / "new.lil").path,
        )

    return make


def ways(path):
    with path.open("rb") as file:
        update = read_update(file, path.name, path.stat().st_size, 1 << 40)
    pairs = zip(update.contents.entries, update.ways, strict=True)
    return {entry.name: how.way for entry, how in pairs}


def round_trip(old, new, folder):
    update = lp.delta(old, new, folder / "update.lil")
    made = lp.apply_delta(old, update, folder / "made.lil")
    assert made.read_bytes() == new.read_bytes()
    return update


def test_small_moves_take_few_bytes(models, tmp_path):
    weight = weights()
    old, new = models({"w": rounded(weight)}, {"w": rounded(moved(weight, 0.01))})
    update = round_trip(old, new, tmp_path)
    before, after = (rounded(w).integers.numpy() for w in (weight, moved(weight, 0.01)))
    share = np.unique(after - before, return_counts=True)[1] / before.size
    entropy = float(share @ -np.log2(share)) * before.size / 8
    assert update.stat().st_size < 1.1 * entropy + 450  # digests, header, tables
    assert update.stat().st_size < 0.2 * new.stat().st_size


def test_every_kind_of_tensor_comes_back(models, tmp_path):
    rng = np.random.default_rng(0)
    dead = rng.integers(-9, 9, (40, 60))
    dead[::3] = 0
    far = rng.integers(-(1 << 31), (1 << 31) - 1, 700)
    floats = rng.normal(size=(30, 20)).astype(np.float32)
    colors = rng.normal(size=4).astype(np.float32)[rng.integers(0, 4, 900)]
    sparse = (rng.random(900) < 0.1) * rng.normal(size=900).astype(np.float32)
    old = {
        "dead": Quantized(torch.from_numpy(dead), 0.1),
        "far": Quantized(torch.from_numpy(far), 0.1),
        "step": Quantized(torch.from_numpy(dead), 0.1),
        "shape": Quantized(torch.from_numpy(dead), 0.1),
        "wider": Quantized(torch.from_numpy(dead), 0.1),
        "floats": torch.from_numpy(floats),
        "half": torch.from_numpy(floats).bfloat16(),
        "colors": torch.from_numpy(colors),
        "sparse": torch.from_numpy(sparse),
        "double": torch.from_numpy(floats.astype(np.float64)),
        "noise": torch.from_numpy(rng.integers(0, 256, 700, np.uint8)),
        "long": torch.arange(5),
        "empty": torch.zeros(0, 3),
        "gone": torch.ones(3),
        "emptied": torch.ones(3),
        "filled": torch.zeros(0),
        "scalar": torch.tensor(7),
        "flags": torch.tensor([True, False] * 9),
    }
    dead, far = dead.copy(), far.copy()
    dead[1, ::7] += 1
    far[::9] = -far[::9]
    wider = dead.copy()
    wider[0, 0] = 1000
    new = old | {
        "dead": Quantized(torch.from_numpy(dead), 0.1),
        "far": Quantized(torch.from_numpy(far), 0.1),
        "step": Quantized(old["step"].integers, 0.2),
        "shape": Quantized(torch.from_numpy(dead[:-3]), 0.1),
        "wider": Quantized(torch.from_numpy(wider), 0.1),
        "floats": torch.from_numpy(floats * 1.001),
        "half": torch.from_numpy(-floats * 1.001).bfloat16(),
        "colors": torch.from_numpy(colors[::-1].copy()),
        "sparse": torch.from_numpy(sparse * 1.001),
        "double": torch.from_numpy(floats.astype(np.float64) + 1),
        "noise": old["noise"].roll(3),
        "new": torch.ones(1000),
        "emptied": torch.zeros(0),
        "filled": torch.ones(3),
        "flags": torch.tensor([True, True] * 9),
    }
    del new["gone"]
    old_path, new_path = models(old, new)
    found = ways(round_trip(old_path, new_path, tmp_path))
    assert {name for name, way in found.items() if way == SAME} == {
        "long",
        "empty",
        "scalar",
        "step",  # its integers are
    }
    assert {"double", "new"} <= {name for name, way in found.items() if way == WHOLE}
    assert {"dead", "shape", "wider", "floats"} <= {
        name for name, way in found.items() if way == DIFFERENT
    }


def test_floats_on_a_grid_move_by_its_steps(models, tmp_path):
    """As small as integers that move."""
    weight = weights()
    old, new = rounded(weight).integers, rounded(moved(weight, 0.01)).integers
    pair = models({"w": (old * STEP).float()}, {"w": (new * STEP).float()})
    update = round_trip(*pair, tmp_path).stat().st_size
    pair = models({"w": Quantized(old, STEP)}, {"w": Quantized(new, STEP)})
    assert update < round_trip(*pair, tmp_path).stat().st_size + 40


def test_mixed_blocks_are_made_anew(tmp_path):
    rng = np.random.default_rng(0)
    values = np.cumsum(rng.integers(-1, 2, (60, 40)), 0)
    pair = []
    for name in ("old", "new"):
        state = {"w": Quantized(torch.from_numpy(values.copy()), STEP)}
        pair.append(pack_model(state, tmp_path / f"{name}.lil", smallest=True).path)
        values[rng.random(values.shape) < 0.01] += 1
    assert Packed.open(pair[1]).blocks(Packed.open(pair[1]).contents.entries[0])[0][0][0] == 3
    update = round_trip(*pair, tmp_path)
    assert update.stat().st_size < 0.6 * pair[1].stat().st_size
    assert ways(update) == {"w": DIFFERENT}


def test_updates_follow_one_another(models, tmp_path):
    first = weights()
    second, third = moved(first, 0.02, 1), moved(first, 0.02, 2)
    one, two = models({"w": rounded(first)}, {"w": rounded(second)})
    three = pack_model({"w": rounded(third)}, tmp_path / "third.lil").path
    made = lp.apply_delta(one, lp.delta(one, two, tmp_path / "a.lil"), tmp_path / "made.lil")
    last = lp.apply_delta(made, lp.delta(two, three, tmp_path / "b.lil"), tmp_path / "last.lil")
    assert last.read_bytes() == three.read_bytes()


def test_another_file_is_refused_with_both_digests(models, tmp_path):
    old, new = models({"w": rounded(weights())}, {"w": rounded(weights(1))})
    update = lp.delta(old, new, tmp_path / "update.lil")
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (old, new)]
    with pytest.raises(PackError) as caught:
        lp.apply_delta(new, update, tmp_path / "made.lil")
    assert all(digest in str(caught.value) for digest in digests)
    assert not (tmp_path / "made.lil").exists()


def test_a_damaged_update_makes_nothing(models, tmp_path):
    weight = weights(0, (16, 30))
    old, new = models({"w": rounded(weight)}, {"w": rounded(moved(weight, 0.05))})
    update = lp.delta(old, new, tmp_path / "update.lil")
    whole = update.read_bytes()
    for place in range(0, len(whole), 7):
        data = bytearray(whole)
        data[place] ^= 4
        update.write_bytes(data)
        with pytest.raises(PackError):
            lp.apply_delta(old, update, tmp_path / "made.lil")
    update.write_bytes(whole[:-1])
    with pytest.raises(PackError, match="cut off"):
        lp.apply_delta(old, update, tmp_path / "made.lil")
    assert not (tmp_path / "made.lil").exists()


def test_a_budget_is_kept(models, tmp_path):
    old, new = models({"w": rounded(weights())}, {"w": rounded(weights(1))})
    update = lp.delta(old, new, tmp_path / "update.lil")
    with pytest.raises(PackError, match="at most 60,000 are allowed"):
        lp.apply_delta(old, update, tmp_path / "made.lil", most_bytes=60_000)


def test_kinds_do_not_mix(models, tmp_path):
    old, new = models({"w": torch.ones(2)}, {"w": torch.zeros(2)})
    (tmp_path / "net.bin").write_bytes(b"data")
    other = pack(tmp_path / "net.bin").path
    with pytest.raises(PackError, match="an update is made of two packed files of one kind"):
        lp.delta(old, other, tmp_path / "update.lil")
    with pytest.raises(PackError, match="holds a file that is not packed"):
        lp.delta(tmp_path / "net.bin", other, tmp_path / "update.lil")
    with pytest.raises(PackError, match=r"new\.lil is no update"):
        lp.apply_delta(old, new, tmp_path / "made.lil")
    update = lp.delta(old, new, tmp_path / "update.lil")
    with pytest.raises(PackError, match=r"is an update of another file; .*--base"):
        Packed.open(update)
    with pytest.raises(PackError, match=r"cannot read .*none"):
        lp.apply_delta(tmp_path / "none", update)


@pytest.fixture
def files(tmp_path):
    """An ONNX file and one whose weights moved, one of them with a new layer."""
    (tmp_path / "old").mkdir()
    layers = list(pruned())
    old = onnx_file(tmp_path / "old" / "net.onnx", layers)
    moved_ = [
        np.clip(w + (np.random.default_rng(1).random(w.shape) < 0.02), -128, 127) for w in layers
    ]
    same = onnx_file(tmp_path / "net.onnx", [w.astype(np.int8) for w in moved_])
    more = onnx_file(tmp_path / "more.onnx", [*(w.astype(np.int8) for w in moved_), layers[2][:3]])
    return old, same, more


@pytest.mark.parametrize("new", [1, 2])
@pytest.mark.parametrize("is_packed", [True, False])
def test_a_file_is_updated_packed_or_as_it_is(files, new, is_packed, tmp_path):
    old, packed = files[0], pack(files[new])
    before = pack(old)
    update = lp.delta(before.path, packed.path, tmp_path / "update.lil")
    made = lp.apply_delta(before.path if is_packed else old, update, tmp_path / "made.onnx")
    assert made.read_bytes() == files[new].read_bytes()
    assert update.stat().st_size < (0.3 if new == 1 else 0.5) * packed.path.stat().st_size


def test_a_file_gets_its_name_back(files, tmp_path):
    update = lp.delta(pack(files[0]).path, pack(files[1]).path, tmp_path / "update.lil")
    whole = files[1].read_bytes()
    files[1].unlink()
    assert lp.apply_delta(files[0], update) == files[1]
    assert files[1].read_bytes() == whole


def test_bytes_that_moved_cost_little(tmp_path):
    rng = np.random.default_rng(0)
    data = rng.integers(0, 256, 20_000, np.uint8).tobytes()
    (tmp_path / "old.bin").write_bytes(data)
    (tmp_path / "new.bin").write_bytes(data[9000:] + b"between" + data[:9000])
    old, new = pack(tmp_path / "old.bin").path, pack(tmp_path / "new.bin").path
    update = lp.delta(old, new, tmp_path / "update.lil")
    assert update.stat().st_size < 400
    assert (
        lp.apply_delta(old, update, tmp_path / "made").read_bytes()
        == (tmp_path / "new.bin").read_bytes()
    )


def test_tensors_that_are_or_were_constant_are_updated(models, tmp_path):
    ones, others = torch.ones(300), torch.arange(300.0) / 7
    old, new = models(
        {"same": ones, "moved": ones, "was": ones, "is": others},
        {"same": ones, "moved": 2 * ones, "was": others, "is": ones, "new": ones},
    )
    update = round_trip(old, new, tmp_path)
    assert ways(update)["same"] == SAME


def test_a_file_whose_tensors_are_or_were_constant_is_updated(tmp_path):
    old, new = (tmp_path / f"{name}.safetensors" for name in ("old", "new"))
    ones, others = torch.ones(900), torch.arange(900.0) / 7
    save_file({"same": ones, "moved": ones + 0, "was": ones + 0, "is": others}, old)
    save_file({"same": ones, "moved": 2 * ones, "was": others, "is": ones + 0}, new)
    made = lp.delta(pack(old).path, pack(new).path, tmp_path / "update.lil")
    assert lp.apply_delta(old, made, tmp_path / "made").read_bytes() == new.read_bytes()


@pytest.mark.parametrize("order", [("head", "table"), ("table", "head")])
def test_tied_tensors_move_once(models, tmp_path, order):
    old, new = rounded(weights()), rounded(moved(weights(), 0.01))
    alone = models({"table": old}, {"table": new})
    size = lp.delta(*alone, tmp_path / "alone.lil").stat().st_size
    pair = models(dict.fromkeys(order, old), dict.fromkeys(order, new))
    assert round_trip(*pair, tmp_path).stat().st_size < size + 100


def test_a_tensor_that_is_tied_no_more_is_told_from_what_it_was(models, tmp_path):
    old, new = rounded(weights()), rounded(moved(weights(), 0.01))
    round_trip(*models({"a": old, "b": old}, {"a": old, "b": new}), tmp_path)
    round_trip(*models({"a": old, "b": old}, {"a": new, "b": old}), tmp_path)
    round_trip(*models({"a": old, "b": new}, {"a": old, "b": old}), tmp_path)


def test_a_file_with_tied_tensors_is_made_anew(tmp_path):
    paths = []
    for name, share in (("old", 0.0), ("new", 0.02)):
        table = moved(weights(), share).float() if share else weights().float()
        save_file({"a": table, "b": table.clone(), "c": weights(3).float()}, tmp_path / name)
        folder = tmp_path / f"{name} file"
        folder.mkdir()
        (folder / "net.safetensors").write_bytes((tmp_path / name).read_bytes())
        paths.append(pack(folder / "net.safetensors", tmp_path / f"{name}.lil").path)
    update = lp.delta(*paths, tmp_path / "update.lil")
    made = lp.apply_delta(paths[0], update, tmp_path / "made")
    assert made.read_bytes() == (tmp_path / "new").read_bytes()


@pytest.mark.parametrize("name", ["old.lil", "new.lil"])
def test_an_update_replaces_none_that_it_is_made_of(models, tmp_path, name):
    old, new = models({"w": rounded(weights())}, {"w": rounded(moved(weights(), 0.01))})
    before = (tmp_path / name).read_bytes()
    with pytest.raises(PackError, match="would be replaced by what is made of it; say where else"):
        lp.delta(old, new, tmp_path / name)
    assert (tmp_path / name).read_bytes() == before
