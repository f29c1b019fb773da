"""What of ONNX a runtime reads, and what it works out once, when it loads a file."""

from dataclasses import dataclass

__all__ = ["Dialect"]


@dataclass(frozen=True)
class Dialect:
    """By default ONNX Runtime's.

    Args:
        fewest_bits: Of integers in the file: 2, 4 or 8.
        folds_rows: Whether it carries out a `GatherElements` of constants at load; else palettes
            of single channels are looked up in one long table, by a `Gather`.
    """

    fewest_bits: int = 2
    folds_rows: bool = True
