"""ExecuTorch files, run by its runtime with XNNPACK; needs the extra `executorch`."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from torch import fx

from lilliput.core import Model, QuantizationRules, Target, UnsupportedError
from lilliput.export.executorch.check import check_scales
from lilliput.export.executorch.converter import convert
from lilliput.export.executorch.file import Contents, read
from lilliput.export.executorch.pairs import arrange_pairs
from lilliput.export.executorch.predictor import ExecuTorchPredictor
from lilliput.export.executorch.run_time import lower_run_time
from lilliput.export.executorch.strides import convolve_steps
from lilliput.export.format import Array, Predictor, write_bytes
from lilliput.export.lower import evaluate, is_quantized, lower
from lilliput.export.refusal import refusing
from lilliput.graph import trace
from lilliput.quantize.sharing.cluster import write_out

__all__ = ["ExecuTorch", "encode"]

_log = logging.getLogger(__name__)

_HEAVY = frozenset({"convolution", "linear", "addmm", "mm", "bmm"})


@dataclass(frozen=True)
class ExecuTorch:
    """`.pte` files for one example: XNNPACK runs what it has, portable kernels the rest."""

    suffix: str = ".pte"

    def write(self, model: Model, path: Path, target: Target | None, /) -> None:
        """Converts for a batch of one, checks that scales were kept, and writes."""
        write_bytes(path, encode(model, target.rules if target else None))

    def load(self, path: Path, threads: int, /) -> Predictor:
        """Opens the file in ExecuTorch's runtime."""
        return ExecuTorchPredictor(path, threads)

    def intermediates(self, path: Path, inputs: tuple[Array, ...], /) -> list[Array]:  # noqa: ARG002
        """There are none to be had.

        Raises:
            UnsupportedError: Always.
        """
        raise UnsupportedError(
            f"{path.name} does not show what is inside: ExecuTorch hands XNNPACK whole pieces of "
            "the network and gets back only what leaves them"
        )


def encode(model: Model, rules: QuantizationRules | None) -> bytes:
    """The bytes of the file.

    Operators that run in floats although the rules want integers, and convolutions and products of
    matrices that XNNPACK does not run, are logged as a warning.

    Raises:
        TraceError: `torch.export` cannot follow the network.
        MissingExtraError: ExecuTorch is not installed.
        ExportError: It has no ExecuTorch form, or none with the scales of its quantizers.
    """
    with refusing(model.module, "ExecuTorch"):
        inputs = tuple(x[:1] for x in model.example_inputs)
        one = replace(model.clone(), example_inputs=inputs)
        write_out(one.module)  # portable kernels would look the palette up at each run
        data = convert(trace(_lowered(one, rules), has_dynamic_batch=False).program)
        contents = read(data, "the converter's output")
        if is_quantized(one):
            assert isinstance(one.module, fx.GraphModule)  # noqa: S101  lower refuses others
            _warn("run in floats", check_scales(one.module, contents, rules))
        _warn("run outside XNNPACK", _left_out(contents))
        return data


def _lowered(model: Model, rules: QuantizationRules | None) -> Model:
    if not is_quantized(model):
        return model
    model = model.clone()
    if isinstance(model.module, fx.GraphModule):
        module = model.module
        lower_run_time(module, rules, lambda node: evaluate(module, node))
    lowered = lower(model, stores_integers=True, clips_codes=False)
    assert isinstance(lowered.module, fx.GraphModule)  # noqa: S101  lower refuses others
    convolve_steps(lowered.module)
    arrange_pairs(lowered.module)
    return lowered


def _left_out(contents: Contents) -> tuple[str, ...]:
    """Operators that cost much and were left to portable kernels, which are plain loops."""
    names = {name.removeprefix("aten::") for name in contents.operators}
    return tuple(sorted(_HEAVY & names))


def _warn(what: str, names: tuple[str, ...]) -> None:
    if names:
        _log.warning("in the ExecuTorch file these %s: %s", what, ", ".join(names))
