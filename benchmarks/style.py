"""A style-transfer network of 1.7 million parameters, and photos for it to repaint.

`style/wave.safetensors` and `photos/bsds500_256.npz` below `--data DIR`: the network of
github.com/lengstrom/fast-style-transfer, photos of BSDS500. What counts is how near a picture is to
the float network's.

Source: Johnson, Alahi and Fei-Fei 2016, "Perceptual Losses for Real-Time Style Transfer"; norms as
in Ulyanov et al. 2016.
"""

import io
import math
from collections.abc import Iterator
from functools import cache
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import MeanSquaredError

import lilliput as lp

__all__ = ["Photos", "Style", "model", "task"]

CALIBRATION, SCORED, SIDE = 32, 64, 128
_BLOCKS, _WIDTH = 5, 128


class Painted(nn.Module):
    """A convolution and an instance norm.

    Args:
        inputs: Channels.
        outputs: Channels.
        kernel: Its side.
        stride: 1 or 2; of an upward one, what the picture grows by.
        is_upward: Whether the convolution is a transposed one.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, *, is_upward: bool = False
    ) -> None:
        super().__init__()
        kind = nn.ConvTranspose2d if is_upward else nn.Conv2d
        self.conv = kind(inputs, outputs, kernel, stride, bias=False)
        self.norm = nn.InstanceNorm2d(outputs, eps=1e-3, affine=True)
        # as much in all as the kernel needs, the odd one below and on the right
        total = kernel - stride
        self.ends = (total // 2, total - total // 2) * 2
        self.is_upward = is_upward

    def forward(self, x: Tensor) -> Tensor:
        if self.is_upward:
            return self.norm(self.conv(x)[..., :-1, :-1])
        return self.norm(self.conv(F.pad(x, self.ends)))


class Style(nn.Module):
    """RGB of 0 to 255 to RGB of about 0 to 255; sides are multiples of 4."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            [Painted(3, 32, 9), Painted(32, 64, 3, 2), Painted(64, 128, 3, 2)]
        )
        self.blocks = nn.ModuleList(Painted(_WIDTH, _WIDTH, 3) for _ in range(2 * _BLOCKS))
        self.up = nn.ModuleList(
            [Painted(128, 64, 3, 2, is_upward=True), Painted(64, 32, 3, 2, is_upward=True)]
        )
        self.last = Painted(32, 3, 9)

    def forward(self, x: Tensor) -> Tensor:
        for part in self.down:
            x = part(x).relu()
        for first, second in zip(self.blocks[::2], self.blocks[1::2], strict=True):
            x = x + second(first(x).relu())
        for part in self.up:
            x = part(x).relu()
        return 150 * self.last(x).tanh() + 127.5


def model() -> lp.Model:
    """The network that paints waves as Hokusai did."""
    from safetensors.torch import load_file

    stored = load_file(lp.data_dir() / "style" / "wave.safetensors")
    net = Style()
    parts = [*net.down, *net.blocks, *net.up, net.last]
    with torch.no_grad():
        for index, part in enumerate(parts):
            names = (f"Variable_{3 * index + k}" if index or k else "Variable" for k in range(3))
            weight, shift, scale = (stored[name] for name in names)
            # stored with the channels last; of a transposed convolution those are its inputs
            part.conv.weight.copy_(weight.permute(3, 2, 0, 1))
            part.norm.bias.copy_(shift)
            part.norm.weight.copy_(scale)
    return lp.Model(net.eval(), (photos()[:1],))


@cache
def photos() -> Tensor:
    """The middle of each photo, `[96, 3, 128, 128]`."""
    from PIL import Image

    with np.load(lp.data_dir() / "photos" / "bsds500_256.npz") as data:
        blob, offsets = data["blob"].tobytes(), data["off"]
    found = []
    for start, stop in list(pairwise(offsets))[: CALIBRATION + SCORED]:
        photo = np.asarray(Image.open(io.BytesIO(blob[start:stop])).convert("RGB"))
        middle = photo[64 : 64 + SIDE, 64 : 64 + SIDE]
        found.append(torch.from_numpy(middle.transpose(2, 0, 1).copy()))
    return torch.stack(found).float()


class Photos:
    """Batches of some of the photos; a photo is its own label."""

    def __init__(self, start: int, stop: int, size: int = 8) -> None:
        self.range, self.size = (start, stop), size

    def __len__(self) -> int:
        return math.ceil((self.range[1] - self.range[0]) / self.size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for some in photos()[slice(*self.range)].split(self.size):
            yield some, some


def task() -> lp.Task:
    """32 photos to calibrate on and to compare on, 64 others to score."""
    return lp.Task(
        name="style",
        train=Photos(0, CALIBRATION),
        validation=Photos(0, CALIBRATION),
        test=Photos(CALIBRATION, CALIBRATION + SCORED),
        loss=F.mse_loss,
        metric=MeanSquaredError(),
        fingerprint="bsds500-32-64",
    )
