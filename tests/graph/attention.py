"""Attention as it is written in different ways; each takes tokens of eight features."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from lilliput.core import Model

_WIDTH = 4


class Attention(nn.Module):
    """Heads by view and transpose, with products written out or the built-in attention."""

    def __init__(self, heads: int, keys: int = 0, is_builtin: bool = False) -> None:
        super().__init__()
        self.heads, self.keys, self.is_builtin = heads, keys or heads, is_builtin
        self.query = nn.Linear(8, heads * _WIDTH)
        self.key, self.value = (nn.Linear(8, self.keys * _WIDTH) for _ in range(2))
        self.out, self.head = nn.Linear(heads * _WIDTH, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, _ = x.shape
        q = self.query(x).view(batch, tokens, self.heads, -1).transpose(1, 2)
        k = self.key(x).view(batch, tokens, self.keys, -1).transpose(1, 2)
        v = self.value(x).view(batch, tokens, self.keys, -1).transpose(1, 2)
        if self.is_builtin:
            y = functional.scaled_dot_product_attention(q, k, v, enable_gqa=self.keys != self.heads)
        else:
            y = (q @ k.transpose(-1, -2) / 2).softmax(-1) @ v
        return self.head(x + self.out(y.transpose(1, 2).flatten(2)))


class Fused(nn.Module):
    """One layer makes queries, keys and values."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out, self.head = nn.Linear(8, 48), nn.Linear(16, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, _ = x.shape
        q, k, v = self.qkv(x).reshape(batch, tokens, 3, 4, 4).permute(2, 0, 3, 1, 4).unbind(0)
        y = functional.scaled_dot_product_attention(q, k, v)
        return self.head(x + self.out(y.transpose(1, 2).reshape(batch, tokens, 16)))


class Encoder(nn.Module):
    """PyTorch's own layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 4, 16, dropout=0.0, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(x))


class MaskedEncoder(Encoder):
    """The same with padding that the values say."""

    def forward(self, x: Tensor) -> Tensor:
        is_padding = x[:, :, 0] > 1
        return self.head(self.layer(x, src_key_padding_mask=is_padding))


ATTENTIONS: dict[str, Callable[[], nn.Module]] = {
    "four heads": lambda: Attention(4),
    "built-in": lambda: Attention(4, is_builtin=True),
    "shared keys": lambda: Attention(8, 4, is_builtin=True),
    "fused": Fused,
    "encoder layer": Encoder,
    "masked encoder layer": MaskedEncoder,
}


def built(name: str) -> Model:
    """The network in eval mode with two examples of six tokens."""
    torch.manual_seed(0)
    net = ATTENTIONS[name]().eval()
    return Model(net, (torch.randn(2, 6, 8) * 0.4,))
