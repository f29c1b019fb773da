"""Is a phrase kind? SST-2 by MiniLM-L6 with a linear layer on its embedding, trained here.

24,000 of the training phrases train, the last 1,000 are what choices are made on, the 872 phrases
to evaluate are the test. Phrases are cut at 32 tokens.
"""

import math
from collections.abc import Iterator
from functools import cache

import minilm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lilliput as lp

__all__ = ["fresh", "task"]

TOKENS, TRAINED, CHOSEN = 32, 24_000, 1_000


class Classifier(nn.Module):
    """The sentence transformer, and two scores from its embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = minilm.trained(TOKENS)
        self.head = nn.Linear(384, 2)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        return self.head(self.encoder(tokens, mask) * 384**0.5)


@cache
def phrases(part: str) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens, mask and sentiment of the phrases of a part."""
    rows = minilm.rows("dev" if part == "test" else "train")
    rows = {"train": rows[:TRAINED], "validation": rows[-CHOSEN:], "test": rows}[part]
    tokens, mask = minilm.encoded([phrase for _, phrase in rows], TOKENS)
    return tokens, mask, torch.tensor([int(sentiment) for sentiment, _ in rows])


class Phrases:
    """Batches of a part; shuffled where they train."""

    def __init__(self, part: str, size: int) -> None:
        self.part, self.size = part, size

    def __len__(self) -> int:
        return math.ceil(len(phrases(self.part)[2]) / self.size)

    def __iter__(self) -> Iterator[tuple[tuple[Tensor, Tensor], Tensor]]:
        tokens, mask, labels = phrases(self.part)
        count = len(labels)
        order = torch.randperm(count) if self.part == "train" else torch.arange(count)
        for some in order.split(self.size):
            yield (tokens[some], mask[some]), labels[some]


def task() -> lp.Task:
    """Share of phrases whose sentiment is right."""
    return lp.Task(
        name="sst2",
        train=Phrases("train", 32),
        validation=Phrases("validation", 100),
        test=Phrases("test", 109),
        loss=F.cross_entropy,
        metric=lp.Accuracy(),
        fingerprint="sst2-24000-1000-872",
    )


def fresh() -> lp.Model:
    """The published encoder, and a linear layer that knows nothing yet."""
    torch.manual_seed(0)
    tokens, mask, _ = phrases("test")
    return lp.Model(Classifier(), (tokens[:2], mask[:2]))
