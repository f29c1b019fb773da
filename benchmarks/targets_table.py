"""Writes what each target runs into docs/quantize.md, from the tables that the library reads."""

import re
from collections.abc import Sequence
from pathlib import Path

from lilliput.core import Kernel
from lilliput.targets import get_target, target_names

PAGE = Path(__file__).parents[1] / "docs" / "quantize.md"
_SCHEMES = {"static": "static", "dynamic": "at run time", "weights": "floats"}
_GRAINS = {"PerTensor": "tensor", "PerChannel": "channel", "PerGroup": "group"}


def table() -> str:
    """One row for each kernel of each target."""
    lines = [
        "| target | operators | activations | weights run with | stored narrower | activation bits "
        "| scales per | runs in |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    alike: dict[tuple[Kernel, ...], list[str]] = {}
    for name in target_names():
        rules = get_target(name).rules
        alike.setdefault(rules.kernels if rules is not None else (), []).append(name)
    for kernels, names in alike.items():
        lines += [_row(names, kernel) for kernel in kernels]
    return "\n".join(lines)


def _row(targets: Sequence[str], kernel: Kernel) -> str:
    grains = [text for name, text in _GRAINS.items() if name in kernel.granularities]
    sizes = f" of {_bits(kernel.group_sizes)}" if kernel.group_sizes else ""
    cells = [
        ", ".join(f"`{target}`" for target in targets),
        ", ".join(f"`{operator}`" for operator in sorted(kernel.operators)),
        _SCHEMES[kernel.scheme],
        _bits(kernel.weight_bits) + " bits",
        _bits(kernel.stored_bits) or "-",
        _bits(kernel.activation_bits) if kernel.scheme == "static" else "-",
        ", ".join(grains) + sizes,
        kernel.runs_in,
    ]
    return "| " + " | ".join(cells) + " |"


def _bits(bits: frozenset[int]) -> str:
    return ", ".join(str(b) for b in sorted(bits, reverse=True))


def filled(page: str) -> str:
    """The page with the table of today."""
    pattern = r"(<!-- targets -->\n).*?(<!-- end -->)"
    return re.sub(pattern, lambda m: f"{m[1]}{table()}\n{m[2]}", page, flags=re.DOTALL)


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))
