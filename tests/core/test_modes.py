import pytest
from torch import nn

from lilliput.core.modes import in_eval_mode


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
