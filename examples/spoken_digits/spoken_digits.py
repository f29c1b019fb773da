r"""Spoken digits (Free Spoken Digit Dataset, 8 kHz) for a microcontroller, trained here.

    lilliput compress examples/spoken_digits/spoken_digits.py --data DIR \
        --target cortex-m4 --max-flash 16kB --max-ram 12kB

`DIR` holds `fsdd/fsdd_8k.npz`: `audio` int16, `off` where each recording begins, `y`, and `idx`,
of which 0 to 4 are the official test split. Takes 5 to 9 choose, the others teach. What the net
sees is what the front-end gives on the chip, `log_mel.c`, as numbers from -8 to 8.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from front_end import BANDS, FRAMES, features, one_second
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import lilliput as lp
from lilliput.core.data import data_dir
from lilliput.train import AdamW, OneCycle, Training

STEP = 16.0
"""By which the front-end's integers are divided."""
COPIES, BATCH, EPOCHS = 12, 64, 80
WEIGHTS = Path(__file__).with_name("spoken_digits.safetensors")


def block(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
    """A depthwise separable convolution; without padding where it strides, as LiteRT pads."""
    return [
        nn.Conv2d(inputs, inputs, 3, stride, 2 - stride, groups=inputs, bias=False),
        nn.BatchNorm2d(inputs),
        nn.ReLU(),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    ]


def fresh() -> nn.Module:
    """A net of 5,000 weights."""
    return nn.Sequential(
        nn.Conv2d(1, 16, (5, 4), 2, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        *block(16, 24, 1),
        *block(24, 32, 2),
        *block(32, 48, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.1),
        nn.Linear(48, 10),
    )


@cache
def recordings(split: str) -> tuple[list[np.ndarray], np.ndarray]:
    """int16 recordings of one second, and their digits."""
    ends = {"test": (0, 5), "validation": (5, 10), "train": (10, 50)}[split]
    with np.load(data_dir() / "fsdd" / "fsdd_8k.npz") as found:
        audio, begins, digits, takes = (found[key] for key in ("audio", "off", "y", "idx"))
    chosen = np.flatnonzero((takes >= ends[0]) & (takes < ends[1]))
    clips = [one_second(audio[begins[i] : begins[i + 1]]) for i in chosen]
    return clips, digits[chosen].astype(np.int64)


def varied(clip: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Sooner or later, faster or slower, louder or softer, in noise."""
    speed = rng.uniform(0.85, 1.15)
    places = (np.arange(len(clip)) - len(clip) / 2) * speed + len(clip) / 2 + rng.uniform(-800, 800)
    moved = np.interp(places, np.arange(len(clip)), clip, left=0, right=0)
    noisy = moved * rng.uniform(0.3, 1.2) + rng.normal(0, rng.choice([0, 10, 60]), len(clip))
    return np.clip(noisy, -32768, 32767).astype(np.int16)


@cache
def maps(split: str) -> tuple[Tensor, Tensor]:
    """Feature maps [n, 1, 49, 20] and digits; of each training clip some variations."""
    clips, digits = recordings(split)
    if split == "train":
        rng = np.random.default_rng(0)
        clips = [c for clip in clips for c in (clip, *(varied(clip, rng) for _ in range(COPIES)))]
        digits = np.repeat(digits, COPIES + 1)
    found = torch.from_numpy(np.stack([features(clip) for clip in clips]))[:, None]
    return found.float() / STEP, torch.from_numpy(digits)


@dataclass
class Shuffled:
    """Batches in another order each time; of an epoch each clip is in one of its variations."""

    epoch: int = 0

    def __len__(self) -> int:
        return len(maps("train")[1]) // (COPIES + 1) // BATCH

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        inputs, labels = maps("train")
        generator = torch.Generator().manual_seed(self.epoch)
        self.epoch += 1
        clips = len(labels) // (COPIES + 1)
        which = torch.randint(COPIES + 1, (clips,), generator=generator)
        order = torch.arange(clips) * (COPIES + 1) + which
        order = order[torch.randperm(clips, generator=generator)]
        for chosen in order[: len(self) * BATCH].split(BATCH):
            yield inputs[chosen], labels[chosen]


def batches(split: str) -> list[tuple[Tensor, Tensor]]:
    """A split in order."""
    inputs, labels = maps(split)
    return list(zip(inputs.split(100), labels.split(100), strict=True))


def task() -> lp.Task:
    """Top-1 of the digits."""
    return lp.Task(
        name="spoken digits",
        train=Shuffled(),
        validation=batches("validation"),
        test=batches("test"),
        loss=F.cross_entropy,
        metric=lp.Accuracy(),
        fingerprint="fsdd_8k, takes 10 to 49 varied 12 times",
    )


def model() -> lp.Model:
    """The net, trained where its weights do not lie beside this file yet."""
    torch.manual_seed(0)
    net = fresh()
    example = (torch.zeros(1, 1, FRAMES, BANDS),)
    if not WEIGHTS.is_file():
        how = Training(optimizer=AdamW(weight_decay=0.01), schedule=OneCycle())
        learn = lp.FineTune(task(), epochs=EPOCHS, learning_rate=0.01, training=how)
        save_file(lp.run(lp.Model(net, example), [learn]).module.state_dict(), WEIGHTS)
    net.load_state_dict(load_file(WEIGHTS))
    return lp.Model(net.eval(), example)
