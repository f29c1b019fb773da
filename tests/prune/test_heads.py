import pytest
import torch
from tests.graph.attention import ATTENTIONS, built
from torch import nn

from lilliput.core import Model, run
from lilliput.graph import channel_groups, silence_channels, trace
from lilliput.prune import Magnitude, PruneChannels, PruneHeads
from lilliput.testing import TINY_TASKS, PassContract


class TestPruneHeads(PassContract):
    tasks = ("two_input_transformer",)

    @pytest.fixture
    def pass_(self) -> PruneHeads:
        return PruneHeads(0.5)


@pytest.mark.parametrize("name", list(ATTENTIONS))
def test_half_the_heads_go_and_the_rest_say_the_same(name: str) -> None:
    model = built(name)
    found = channel_groups(trace(model))
    small = PruneHeads(0.5)(model)
    assert not small.notes
    scores = Magnitude()(model, found.heads)
    drop = {
        g.name: scores[g.name].argsort(stable=True)[: g.size // 2].tolist() for g in found.heads
    }
    silent = silence_channels(model, drop, found)
    x = torch.randn(3, *model.example_inputs[0].shape[1:])
    torch.testing.assert_close(small.module(x), silent.module(x), rtol=1e-4, atol=1e-5)
    left = {g.name: g.size for g in channel_groups(trace(small)).heads}
    assert left == {g.name: g.size // 2 for g in found.heads if g.size > 3}


def test_a_padding_mask_follows_the_heads() -> None:
    model, _ = TINY_TASKS["two_input_transformer"]()
    before = model.module.encoder.self_attn.in_proj_weight.numel()
    small = run(model, [PruneHeads(0.5)])
    kept = [p.numel() for n, p in small.module.named_parameters() if n.endswith("in_proj_weight")]
    assert kept == [before // 2]
    tokens, mask = (x.repeat(3, 1) for x in model.example_inputs)
    mask[0, 4:] = True
    assert small.module(tokens, mask).shape == (6, 3)


def test_at_least_one_head_stays() -> None:
    small = PruneHeads(0.99)(built("four heads"))
    assert small.module.query.out_features == 4
    assert [str(note) for note in small.notes] == [
        "'query:parts' keeps 1 of 4 units, since not all may go"
    ]


def test_whole_groups_of_a_convolution_are_no_heads() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, groups=2), nn.Conv2d(8, 2, 1))
    model = Model(net.eval(), (torch.randn(2, 3, 6, 6),))
    found = channel_groups(trace(model))
    assert [g.kind for g in found].count("parts") == 1
    assert found.heads == ()
    small = PruneHeads(0.5)(model)
    assert [p.shape for p in small.module.parameters()] == [p.shape for p in net.parameters()]
    assert "no attention heads" in str(small.notes[0])


def test_names_the_nearest_attention() -> None:
    with pytest.raises(ValueError, match=r"'quary:parts'.*'query:parts'"):
        PruneHeads({"quary:parts": 0.5})(built("four heads"))
    with pytest.raises(ValueError, match=r"at least 0 and below 1, got 1\.5"):
        PruneHeads(1.5)


def test_a_kept_attention_stays() -> None:
    model = built("four heads")
    small = PruneHeads(0.5, keep=("*:parts",))(model)
    assert small.module.query.out_features == 16


def test_head_widths_and_heads_both_go() -> None:
    small = run(built("four heads"), [PruneHeads(0.5), PruneChannels({"query": 0.5})])
    assert small.module(torch.randn(5, 6, 8)).shape == (5, 6, 3)
    assert {n: tuple(p.shape) for n, p in small.module.named_parameters()}["query.weight"] == (4, 8)


def test_attention_whose_heads_cannot_be_followed_is_noted() -> None:
    class Cross(nn.Module):
        """Reads from elsewhere."""

        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.attention(x, x.flip(1), x.flip(1))[0]

    small = run(Model(Cross().eval(), (torch.randn(2, 5, 8),)), [PruneHeads()])
    assert any("of 'attention' stay" in str(note) for note in small.notes)
