"""Padding lies as its neighbours do: the file without that rewrite is the oracle."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.quantize.nets import imaged
from torch import Tensor, nn
from torch.nn import functional

from lilliput.core import Model, run
from lilliput.export.litert import format as litert
from lilliput.export.litert.file import kinds, read
from lilliput.quantize import QuantizeStatic
from lilliput.targets import get_target

RULES = get_target("litert-cpu").rules


class Strided(nn.Module):
    """Zeros on one side, as TensorFlow pads where a convolution has a stride."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.down = nn.Conv2d(8, 8, 3, 2, groups=8)
        self.wide = nn.Conv2d(8, 12, 5, 2)
        self.head = nn.Linear(12, 5)

    def forward(self, image: Tensor) -> Tensor:
        x = functional.pad(self.stem(image).relu(), (0, 1, 0, 1))
        x = functional.pad(self.down(x).relu(), (1, 2, 2, 1))
        return self.head(self.wide(x).relu().mean((2, 3)))


class TurnedForOthers(nn.Module):
    """What is padded is read by a layer that wants it as the network has it, too."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.next = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 3)
        self.head = nn.Linear(4 * 9 * 9, 5)

    def forward(self, image: Tensor) -> Tensor:
        x = functional.pad(self.stem(image).relu(), (0, 1, 0, 1))
        return self.head(x.flatten(1)) + self.next(x).mean((2, 3)).sum(1, keepdim=True)


def encoded(net: nn.Module) -> tuple[bytes, bytes, Model]:
    """The file, and the file whose padding lies as the converter leaves it."""
    model, task = imaged(net)
    small = run(model, [QuantizeStatic(RULES, task)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(litert, "pad_as_it_lies", lambda _: None)
        plain = litert.encode(small, RULES)
    return litert.encode(small, RULES), plain, small


def outputs(content: bytes, path: Path, images: Tensor) -> np.ndarray:
    path.write_bytes(content)
    return litert.LitertPredictor(path, 1)((images.numpy(),))[0]


def counts(content: bytes) -> dict[str, int]:
    file = read(content, "the file")
    found = kinds(file, file.subgraphs[0])
    return {name: found.count(name) for name in ("PAD", "TRANSPOSE")}


@pytest.mark.parametrize("net", [Strided, TurnedForOthers])
def test_the_numbers_stay_the_same(net: type[nn.Module], tmp_path: Path) -> None:
    turned, plain, small = encoded(net())
    images = torch.randn(6, 3, 8, 8)
    before, after = (outputs(c, tmp_path / "m.tflite", images) for c in (plain, turned))
    np.testing.assert_array_equal(after, before)
    assert len(np.unique(after)) > 4
    wanted = small.module(images).detach().numpy()
    np.testing.assert_allclose(after, wanted, atol=0.05 * np.ptp(wanted))


def test_nothing_is_turned_but_the_image() -> None:
    turned, plain, _ = encoded(Strided())
    assert counts(turned)["PAD"] == counts(plain)["PAD"] == 2
    assert counts(turned)["TRANSPOSE"] == counts(plain)["TRANSPOSE"] - 4
