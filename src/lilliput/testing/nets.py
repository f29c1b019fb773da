"""Four tiny tasks, no two alike, on which contracts are tested.

Whatever works on all of them does not assume a classifier, one input, one output, floats, or a
metric that is better when higher. Each is a network as a user would write it, untrained, and
synthetic data made from a fixed seed.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from lilliput.core import Accuracy, Metric, Model, Task

__all__ = [
    "TINY_TASKS",
    "MeanAbsoluteError",
    "SignalToNoise",
    "image_classifier",
    "image_to_image",
    "learned",
    "two_input_transformer",
    "two_output_regressor",
]

_BATCHES = (6, 2, 2)  # of train, validation and test
_BATCH = 32

Batch = tuple[Any, Any]


class MeanAbsoluteError:
    """Mean distance over all outputs; lower is better."""

    higher_is_better = False

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets all that was counted."""
        self.total, self.count = 0.0, 0

    def update(self, outputs: tuple[Tensor, ...], labels: tuple[Tensor, ...], /) -> None:
        """Counts a batch of one tensor or several."""
        for output, label in zip(outputs, labels, strict=True):
            self.total += float((output - label).abs().sum())
            self.count += label.numel()

    def compute(self) -> float:
        """The mean so far."""
        return self.total / self.count


class SignalToNoise:
    """Peak signal-to-noise ratio of images between 0 and 1, in dB; higher is better.

    Source: ITU-T J.340, peak value 1: `-10 log10(mean squared error)`.
    """

    higher_is_better = True

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets all that was counted."""
        self.total, self.count = 0.0, 0

    def update(self, outputs: Tensor, labels: Tensor, /) -> None:
        """Counts a batch of images."""
        self.total += float((outputs - labels).square().sum())
        self.count += labels.numel()

    def compute(self) -> float:
        """The ratio of all images so far."""
        return float(-10 * torch.log10(torch.tensor(self.total / self.count)))


class ImageClassifier(nn.Module):
    """Convolution, a residual block, a depthwise convolution, flatten to linear; 3,000 weights."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 12, 3, padding=1, bias=False), nn.BatchNorm2d(12), nn.ReLU()
        )
        self.conv1, self.bn1 = nn.Conv2d(12, 12, 3, padding=1, bias=False), nn.BatchNorm2d(12)
        self.depthwise = nn.Conv2d(12, 12, 3, 2, 1, groups=12, bias=False)
        self.bn2 = nn.BatchNorm2d(12)
        self.head = nn.Linear(12 * 2 * 2, 4)

    def forward(self, image: Float[Tensor, "batch 3 8 8"]) -> Float[Tensor, "batch 4"]:
        x = self.stem(image)
        x = functional.relu(x + self.bn1(self.conv1(x)))
        x = functional.relu(self.bn2(self.depthwise(x)))
        return self.head(functional.max_pool2d(x, 2).flatten(1))  # type: ignore[no-any-return]


class ImageToImage(nn.Module):
    """Down, up by a transposed convolution, and the input's detail joined on: a small U-net."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.bn1 = nn.Conv2d(1, 8, 3, 2, 1), nn.BatchNorm2d(8)
        self.middle, self.bn2 = nn.Conv2d(8, 8, 3, 1, 1), nn.BatchNorm2d(8)
        self.up = nn.ConvTranspose2d(8, 8, 2, 2)
        self.out = nn.Conv2d(9, 1, 3, 1, 1)

    def forward(self, image: Float[Tensor, "batch 1 16 16"]) -> Float[Tensor, "batch 1 16 16"]:
        x = functional.relu(self.bn1(self.down(image)))
        x = functional.relu(self.bn2(self.middle(x)))
        x = torch.cat([functional.relu(self.up(x)), image], 1)
        return torch.sigmoid(self.out(x))


class TwoInputTransformer(nn.Module):
    """One encoder layer over tokens, of which a mask says which are padding."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(20, 16)
        self.places = nn.Parameter(torch.randn(10, 16) * 0.1)
        self.encoder = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
        self.head = nn.Linear(16, 3)

    def forward(
        self, tokens: Int64[Tensor, "batch 10"], is_padding: Bool[Tensor, "batch 10"]
    ) -> Float[Tensor, "batch 3"]:
        x = self.tokens(tokens) + self.places
        x = self.encoder(x, src_key_padding_mask=is_padding)
        is_real = (~is_padding).unsqueeze(2).to(x.dtype)
        return self.head((x * is_real).sum(1) / is_real.sum(1))  # type: ignore[no-any-return]


class TwoOutputRegressor(nn.Module):
    """A shared body with two heads of different widths."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 24), nn.ReLU(), nn.Linear(24, 16), nn.ReLU())
        self.position, self.speed = nn.Linear(16, 2), nn.Linear(16, 1)

    def forward(
        self, sensors: Float[Tensor, "batch 6"]
    ) -> tuple[Float[Tensor, "batch 2"], Float[Tensor, "batch 1"]]:
        x = self.body(sensors)
        return self.position(x), self.speed(x)


def image_classifier() -> tuple[Model, Task]:
    """Which of four patterns a noisy 3x8x8 image shows; accuracy."""
    draw = _generator()
    patterns = torch.randn(4, 3, 8, 8, generator=draw)

    def batch(count: int) -> Batch:
        labels = torch.randint(4, (count,), generator=draw)
        return patterns[labels] + torch.randn(count, 3, 8, 8, generator=draw), labels

    task = _task("tiny-classifier", batch, functional.cross_entropy, Accuracy())
    return _model(ImageClassifier, task), task


def image_to_image() -> tuple[Model, Task]:
    """Takes the noise off 16x16 images of stripes; signal-to-noise ratio in dB."""
    draw = _generator()
    places = torch.linspace(0, 1, 16)

    def batch(count: int) -> Batch:
        across, down = 8 * torch.rand(2, count, 1, 1, generator=draw)
        waves = torch.sin(across * places.view(1, 1, 16) + down * places.view(1, 16, 1))
        clean = (0.5 + 0.5 * waves).unsqueeze(1)
        return clean + 0.2 * torch.randn(count, 1, 16, 16, generator=draw), clean

    task = _task("tiny-denoiser", batch, functional.mse_loss, SignalToNoise())
    return _model(ImageToImage, task), task


def two_input_transformer() -> tuple[Model, Task]:
    """Which of three tokens is there most often before the padding begins; accuracy."""
    draw = _generator()

    def batch(count: int) -> Batch:
        tokens = torch.randint(20, (count, 10), generator=draw)
        labels = torch.randint(3, (count,), generator=draw)
        tokens[:, 0:6:2] = labels.unsqueeze(1)
        lengths = torch.randint(6, 11, (count, 1), generator=draw)
        is_padding = torch.arange(10) >= lengths
        return (tokens, is_padding), labels

    task = _task("tiny-transformer", batch, functional.cross_entropy, Accuracy())
    return _model(TwoInputTransformer, task), task


def two_output_regressor() -> tuple[Model, Task]:
    """Two coordinates and a speed from six sensors; mean absolute error, better when lower."""
    draw = _generator()
    to_position, to_speed = torch.randn(6, 2, generator=draw), torch.randn(6, 1, generator=draw)

    def batch(count: int) -> Batch:
        sensors = torch.randn(count, 6, generator=draw)
        return sensors, (torch.tanh(sensors @ to_position), (sensors @ to_speed).abs())

    def loss(outputs: tuple[Tensor, ...], labels: tuple[Tensor, ...]) -> Tensor:
        errors = [functional.mse_loss(y, t) for y, t in zip(outputs, labels, strict=True)]
        return torch.stack(errors).sum()

    task = _task("tiny-regressor", batch, loss, MeanAbsoluteError())
    return _model(TwoOutputRegressor, task), task


TINY_TASKS: Mapping[str, Callable[[], tuple[Model, Task]]] = {
    "image_classifier": image_classifier,
    "image_to_image": image_to_image,
    "two_input_transformer": two_input_transformer,
    "two_output_regressor": two_output_regressor,
}


def learned(model: Model, task: Task, epochs: int = 10) -> Model:
    """Trains a copy with Adam, in a second or two: far enough to beat chance by a wide margin."""
    copy = model.clone()
    copy.module.train()
    optimizer = torch.optim.Adam(copy.module.parameters(), lr=0.01)
    for _ in range(epochs):
        for inputs, labels in task.batches("train"):
            optimizer.zero_grad()
            task.loss(copy.module(*inputs), labels).backward()
            optimizer.step()
    copy.module.eval()
    return copy


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _task(
    name: str,
    batch: Callable[[int], Batch],
    loss: Callable[[Any, Any], Tensor],
    metric: Metric,
) -> Task:
    train, validation, test = ([batch(_BATCH) for _ in range(count)] for count in _BATCHES)
    return Task(name, train, validation, loss, metric, test)


def _model(net: Callable[[], nn.Module], task: Task) -> Model:
    """The network with weights from a fixed seed, and two examples of the task's data."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = net().eval()
    inputs, _ = next(task.batches("validation"))
    return Model(module, tuple(x[:2] for x in inputs))
