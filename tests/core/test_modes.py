import pytest
import torch
from torch import nn

from lilliput.core.modes import in_eval_mode, with_plain_attention


def test_every_part_goes_back_to_its_own_mode() -> None:
    net = nn.Sequential(nn.Dropout(), nn.Sequential(nn.BatchNorm1d(3), nn.ReLU())).train()
    net[1][0].eval()
    modes = [part.training for part in net.modules()]
    with in_eval_mode(net):
        assert not any(part.training for part in net.modules())
    assert [part.training for part in net.modules()] == modes
    with pytest.raises(KeyError), in_eval_mode(net):
        raise KeyError
    assert [part.training for part in net.modules()] == modes


@pytest.mark.parametrize("before", [True, False])
def test_attention_gets_its_shortcut_back(before: bool) -> None:
    found = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(before)
    try:
        with with_plain_attention():
            assert not torch.backends.mha.get_fastpath_enabled()
        assert torch.backends.mha.get_fastpath_enabled() == before
        with pytest.raises(KeyError), with_plain_attention():
            raise KeyError
        assert torch.backends.mha.get_fastpath_enabled() == before
    finally:
        torch.backends.mha.set_fastpath_enabled(found)
