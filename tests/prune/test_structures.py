"""Every structure that makes channels hard to follow, pruned by half and exported."""

import pytest
import torch
from tests.graph.attention import ATTENTIONS, built
from tests.graph.structures import STRUCTURES, build
from tests.graph.test_removal import assert_same, more

from lilliput.core import Model, run
from lilliput.export import export, load
from lilliput.graph import channel_groups, silence_channels, trace
from lilliput.prune import Magnitude, PruneChannels, PruneHeads
from lilliput.targets import get_target

NAMES = [*STRUCTURES, *(f"attention: {name}" for name in ATTENTIONS)]
_FAST = {"residual add", "depthwise", "chunk", "gated MLP", "attention: fused"}
EXPORTED = [n if n in _FAST else pytest.param(n, marks=pytest.mark.slow) for n in NAMES]


def structure(name: str) -> Model:
    kind, _, rest = name.partition(": ")
    return built(rest) if kind == "attention" else Model(*build(name))


def silenced(model: Model, kind: str) -> Model:
    """The network with the smaller half of each group's units set to zero."""
    found = channel_groups(trace(model))
    groups = found.heads if kind == "heads" else [g for g in found if g.kind == kind]
    scores = Magnitude()(model, groups)
    drop = {
        g.name: scores[g.name].argsort(stable=True)[: min(g.size - 1, round(g.size / 2))].tolist()
        for g in groups
    }
    return silence_channels(model, drop, found)


@pytest.mark.parametrize("name", [n for n in NAMES if "encoder" not in n])
def test_half_the_channels_go_and_the_rest_say_the_same(name: str) -> None:
    """Without LayerNorm, under which a channel that is zero does not stay zero."""
    model = structure(name)
    silent = silenced(model, "channels")
    small = run(model, [PruneChannels(0.5)])
    for batch in (1, 3):
        x = more(model.example_inputs, batch)
        assert_same(small.module(*x), silent.module(*x))


@pytest.mark.parametrize("name", EXPORTED)
def test_half_the_channels_go_and_the_file_says_the_same(name: str, tmp_path) -> None:
    assert_exports(run(structure(name), [PruneChannels(0.5)]), tmp_path)


def assert_exports(small: Model, folder) -> None:
    x = more(small.example_inputs, 3)
    file = load(export(small, get_target("onnxruntime-cpu"), folder).path, "onnx")
    got = tuple(torch.from_numpy(y) for y in file(tuple(part.numpy() for part in x)))
    assert_same(got, small.module(*x))


@pytest.mark.parametrize("name", ["grouped", "channel shuffle", "transposed"])
def test_half_the_parts_go(name: str) -> None:
    model = structure(name)
    silent = silenced(model, "parts")
    small = run(model, [PruneChannels({"*:parts": 0.5})])
    x = more(model.example_inputs, 3)
    assert_same(small.module(*x), silent.module(*x))


@pytest.mark.parametrize("name", [n for n in EXPORTED if "attention" in str(n)])
def test_half_the_heads_go_and_the_file_says_the_same(name: str, tmp_path) -> None:
    model = structure(name)
    silent = silenced(model, "heads")
    small = run(model, [PruneHeads(0.5)])
    x = more(model.example_inputs, 3)
    assert_same(small.module(*x), silent.module(*x))
    assert_exports(small, tmp_path)


@pytest.mark.parametrize("name", ["chain", "gated MLP"])
def test_a_network_without_attention_stays(name: str) -> None:
    model = structure(name)
    small = run(model, [PruneHeads(0.5)])
    x = more(model.example_inputs, 3)
    assert_same(small.module(*x), model.module(*x))
    assert "no attention heads" in str(small.notes[0])
