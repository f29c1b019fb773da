"""A model's state as a packed file: integers with steps, and what stayed float."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lilliput.core import Model, PackError
from lilliput.core.disk import replacing
from lilliput.pack.arrays import NamedArray, encode_arrays
from lilliput.pack.codings import Array
from lilliput.pack.container import Packed, write_packed
from lilliput.pack.file import check_apart
from lilliput.pack.header import (
    DTYPES,
    MOST_AXES,
    MOST_NAME,
    MOST_STEP,
    Contents,
    Entry,
)
from lilliput.pack.restore import array_of
from lilliput.quantize.plain import plain_copy_of

__all__ = ["PackedModel", "Quantized", "load_packed", "pack_model", "unpack_model"]


@dataclass(frozen=True, eq=False)
class Quantized:
    """A tensor that is integers times a step.

    Args:
        integers: Of any integer type.
        step: Above 0, below 2^64.
    """

    integers: Tensor
    step: float

    def __post_init__(self) -> None:
        if self.integers.is_floating_point() or self.integers.is_complex():
            raise ValueError(f"integers must be of an integer type, got {self.integers.dtype}")
        if not 0 < self.step < MOST_STEP:
            raise ValueError(f"step must be above 0 and below 2^64, got {self.step}")


def pack_model(
    model: Model | Mapping[str, Tensor | Quantized], out: Path | str, *, smallest: bool = False
) -> Packed:
    """Packs named tensors: integers with their steps, all others bit for bit.

    Floats that are multiples of one step, as `QuantizeCoded` leaves them, are packed as integers.
    Weights of a model that share values or lie under masks are packed as what they come to.

    Args:
        model: A model, or its `state_dict`, which may have `Quantized` in the place of tensors.
        out: Where to write.
        smallest: Whether weights take the fewest bytes; loading is then tens of times slower.

    Raises:
        PackError: A tensor holds NaN or infinity, or is of a type that is not packed; the message
            names it. Or the file cannot be written.
        TypeError: It is neither.
    """
    state = plain_copy_of(model).module.state_dict() if isinstance(model, Model) else model
    if not isinstance(state, Mapping):
        raise TypeError(f"model must be a Model or a state_dict, got {type(state).__name__}")
    arrays = [_named(name, value) for name, value in state.items()]
    entries, payloads = encode_arrays(arrays, smallest)
    write_packed(Path(out), Contents("model", tuple(entries)), payloads)
    return Packed.open(Path(out), most_bytes=1 << 62)


def _named(name: str, value: Tensor | Quantized) -> NamedArray:
    if not isinstance(value, Tensor | Quantized) or not isinstance(name, str):
        raise TypeError(f"{name!r} must be a text and name a tensor, not {type(value).__name__}")
    if len(name.encode()) > MOST_NAME or _tensor_of(value).dim() > MOST_AXES:
        raise PackError(
            f"tensor {name[:80]!r} has a name of {len(name.encode()):,} bytes and "
            f"{_tensor_of(value).dim()} axes; at most {MOST_NAME:,} and {MOST_AXES} are packed"
        )
    if _tensor_of(value).is_meta:
        raise PackError(f"tensor {name!r} is on the meta device and has no values; load them first")
    if isinstance(value, Quantized):
        integers = value.integers.detach().cpu().numpy()
        return NamedArray(name, *_narrowest(integers, name), step=float(value.step))
    dtype = str(value.dtype).removeprefix("torch.")
    if dtype not in DTYPES or value.layout is not torch.strided:
        raise PackError(
            f"tensor {name!r} is {dtype} ({value.layout}), which is not packed; make it a dense "
            f"one of {', '.join(DTYPES)}"
        )
    if value.is_floating_point() and not torch.isfinite(value).all():
        raise PackError(
            f"tensor {name!r} holds NaN or infinity; pack the model as it was before. Masks can be "
            "buffers with persistent=False; a .safetensors file is packed bit for bit"
        )
    whole = value.detach().cpu().contiguous()
    bits = whole.view(torch.uint16) if dtype == "bfloat16" else whole
    return NamedArray(name, bits.numpy(), dtype)


def _tensor_of(value: Tensor | Quantized) -> Tensor:
    return value.integers if isinstance(value, Quantized) else value


def _narrowest(integers: Array, name: str) -> tuple[Array, str]:
    """The integers in the fewest bytes that hold them, and what type that is."""
    low, high = (int(integers.min()), int(integers.max())) if integers.size else (0, 0)
    for dtype in ("int8", "int16", "int32"):
        limits = np.iinfo(dtype)
        if limits.min <= low and high <= limits.max:
            return integers.astype(dtype), dtype
    raise PackError(f"tensor {name!r} has integers from {low:,} to {high:,}, more than 32 bits")


def load_packed(path: Path | str, most_bytes: int | None = None) -> "PackedModel":
    """Opens a packed model; each tensor is read when it is asked for.

    Args:
        path: The file.
        most_bytes: Refuse what would unpack to more; by default 64 MiB, or 1,000 times the
            file's size where that is more.

    Raises:
        PackError: The file is missing, damaged, too large, or holds a file instead of a model.
    """
    packed = Packed.open(Path(path), most_bytes)
    if packed.contents.kind != "model":
        raise PackError(f"{packed.path.name} holds a file; give it back with lilliput unpack")
    return PackedModel(packed)


def unpack_model(packed: Packed, out: Path | str | None = None) -> Path:
    """Writes a packed model's tensors as safetensors, whole or not at all.

    Args:
        packed: An open file that holds a model.
        out: Where to write; by default beside it.

    Raises:
        PackError: It is damaged; or the other cannot be written.
    """
    from safetensors.torch import save

    out = packed.path.with_suffix(".safetensors") if out is None else Path(out)
    check_apart(out, packed.path)
    tensors = dict(PackedModel(packed))
    try:
        with replacing(out) as part:
            part.write_bytes(save(tensors))
    except OSError as error:
        raise PackError(f"cannot write {out}: {error.strerror or error}") from error
    return out


class PackedModel(Mapping[str, Tensor]):
    """The tensors of a packed model by name, as a `state_dict` has them.

    Args:
        packed: An open file.
    """

    def __init__(self, packed: Packed) -> None:
        self.packed = packed
        self._entries = {entry.name: entry for entry in packed.contents.entries}

    def __getitem__(self, name: str) -> Tensor:
        """A tensor; one that was quantized as float32, its integers times its step.

        Raises:
            KeyError: There is none of that name.
            PackError: It is damaged.
        """
        entry = self._entries[name]
        values = self._array(entry)
        if entry.step:
            return torch.from_numpy((values * np.float64(entry.step)).astype(np.float32))
        found = torch.from_numpy(values)
        return found.view(torch.bfloat16) if entry.dtype == "bfloat16" else found

    def quantized(self, name: str) -> Quantized | None:
        """The integers of a tensor and their step; None where it is none of integers."""
        entry = self._entries[name]
        if not entry.step:
            return None
        return Quantized(torch.from_numpy(self._array(entry)), entry.step)

    def _array(self, entry: Entry) -> Array:
        values = array_of(entry, self.packed.blocks(entry), self.packed.path.name)
        return np.array(values)  # of its own, and writable

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
