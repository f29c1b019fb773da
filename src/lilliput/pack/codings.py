"""Codings: how streams of integers make an array.

By number:

0. integers: one stream, the integers themselves.
1. planes: the lowest byte of each item, then the next of each, and so on, in one stream or several;
   bits of floats are turned left by one before, so that the exponent is not cut.
2. palette: a stream of the bytes of a few values, and one of each item's place among them.
3. sparse: a stream that is 0 where all bits of an item are, 2 where all but the sign are, as
   masked weights below zero have it, else 1; then planes of the others.
4. products: float32 items that are others times a factor, as `products.py` tells: a stream of what
   such items differ by from the product, in units of the last binary digit; then planes of the
   others.
5. multiples: float32 items that are integers times a step: a stream of the integers.
6. constant: items that are all the same: no stream.
7. palettes: a palette for each row, as `palettes.py` tells: a stream of their sizes, one of each
   item's place in its row's, then planes of all their values.
8. copy: an earlier array of the file has the same items: no stream.
9. bytes: one stream, the bytes as they lie in memory, the lowest of each item first.
"""

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "BYTES",
    "CODINGS",
    "CONSTANT",
    "COPY",
    "FEWEST",
    "INTEGERS",
    "MULTIPLES",
    "NATIVE",
    "PALETTE",
    "PALETTES",
    "PLANES",
    "PRODUCTS",
    "SPARSE",
    "Array",
    "digest",
    "little",
]

Array = npt.NDArray[Any]

INTEGERS, PLANES, PALETTE, SPARSE, PRODUCTS, MULTIPLES, CONSTANT, PALETTES, COPY, BYTES = range(10)
CODINGS = (
    *("integers", "planes", "palette", "sparse", "products"),
    *("multiples", "constant", "palettes", "copy", "bytes"),
)
"""Their names."""
FEWEST = (1, 1, 2, 2, 2, 1, 0, 3, 0, 1)
"""Streams of each."""
NATIVE = {"bfloat16": "uint16"}
"""What NumPy, which does not know a type, sees instead."""


def digest(values: Array) -> bytes:
    """The first 8 bytes of the SHA-256 of an array's bytes, the lowest of each item first."""
    return hashlib.sha256(little(values).data).digest()[:8]


def little(values: Array) -> Array:
    """The lowest byte of each item first."""
    return np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
