"""Core ML packages: ML programs for iOS 18 and macOS 15, run by macOS; needs the extra `coreml`."""

from dataclasses import dataclass, replace
from pathlib import Path

from lilliput.core import Model, QuantizationRules, Target
from lilliput.export.coreml.check import check
from lilliput.export.coreml.converter import convert
from lilliput.export.coreml.narrow import spell_out
from lilliput.export.coreml.package import Package, write
from lilliput.export.coreml.place import halve, place
from lilliput.export.coreml.predictor import CoreMlPredictor, exposed
from lilliput.export.coreml.prepare import prepare
from lilliput.export.format import Array, Predictor, write_bytes
from lilliput.export.lower import is_quantized, lower
from lilliput.export.refusal import refusing
from lilliput.graph import trace

__all__ = ["CoreMl", "encode"]


@dataclass(frozen=True)
class CoreMl:
    """Zipped `.mlpackage` folders for one example, in the layout of the network's own `forward`."""

    suffix: str = ".mlpackage.zip"

    def write(self, model: Model, path: Path, target: Target | None, /) -> None:
        """Converts for a batch of one, checks that scales and codes were kept, and writes."""
        write_bytes(path, encode(model, target.rules if target else None))

    def load(self, path: Path, threads: int, /) -> Predictor:  # noqa: ARG002
        """Has Core ML compile the package, which chooses its threads itself."""
        return CoreMlPredictor(path)

    def intermediates(self, path: Path, inputs: tuple[Array, ...], /) -> list[Array]:
        """Runs a copy of the package whose activations are outputs."""
        with exposed(path) as copy:
            return list(CoreMlPredictor(copy)(inputs))


def encode(model: Model, rules: QuantizationRules | None) -> bytes:
    """The bytes of the file.

    Raises:
        TraceError: `torch.export` cannot follow the network.
        MissingExtraError: The converter is not installed.
        ExportError: It has no Core ML form, or none with the scales of its quantizers.
    """
    with refusing(model.module, "Core ML"):
        one = replace(model, example_inputs=tuple(x[:1] for x in model.example_inputs))
        plain, weights = spell_out(one, rules)
        lowered = lower(plain, stores_integers=True) if is_quantized(plain) else plain
        program = prepare(trace(lowered, has_dynamic_batch=False).program)
        data = write(Package(*convert(program, lambda early: place(early, weights), halve)))
        check(data, plain.module, weights)
        return data
