"""Apple's converter, where it is installed: from a traced network to a program and its weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

from lilliput.core import MissingExtraError
from lilliput.export.quiet import quiet

__all__ = ["convert", "import_converter"]

_LEFT_OUT = frozenset(
    {
        "common::distributive_quantized_binary_op_scale_normalization",
        "common::nullify_redundant_quantization_zero_point",
    }
)
"""They divide scales by one another and move zero points: these would no longer be ours."""
_FIRST_FUSION = "common::fuse_dilated_conv"
"""From here on the converter joins weights with what stands around them, such as a BatchNorm."""


def import_converter() -> Any:
    """The package `coremltools`.

    Raises:
        MissingExtraError: It is not installed.
    """
    with quiet():
        try:
            import coremltools
        except ImportError as error:
            raise MissingExtraError(
                f"Core ML needs coremltools ({error}); pip install 'lilliput[coreml]'"
            ) from error
    return coremltools


def convert(
    program: ExportedProgram, early: Callable[[Any], None], late: Callable[[Any], None]
) -> tuple[Any, bytes]:
    """The program and the weights of a network whose operators compute with 32-bit floats.

    Args:
        program: With all arguments of its operators written out.
        early: Changes the converter's own program while every weight of the network is still a
            constant of it.
        late: Changes it again, when nothing is joined any more.
    """
    ct = import_converter()
    from coremltools.converters.mil.mil.passes.pass_pipeline import PassPipeline

    passes = [name for name in PassPipeline.DEFAULT.passes if name not in _LEFT_OUT]
    first = passes.index(_FIRST_FUSION)
    with quiet():
        work = _step(program, PassPipeline(passes[:first], "before fusions"))
        early(work)
        work = _step(work, PassPipeline(passes[first:], "fusions"))
        late(work)
        model = ct.convert(
            work,
            convert_to="mlprogram",
            pass_pipeline=PassPipeline([], "none"),
            skip_model_load=True,
            **_settings(),
        )
        spec = model.get_spec()
        # they name a date and versions
        spec.description.metadata.Clear()
        _describe(spec.description, program)
        blob = Path(model.weights_dir) / "weight.bin"
        return spec, blob.read_bytes() if blob.is_file() else b""


def _step(work: Any, passes: Any) -> Any:
    """The converter's own program after some of its passes."""
    ct = import_converter()
    return ct.convert(work, convert_to="milinternal", pass_pipeline=passes, **_settings())


def _settings() -> dict[str, Any]:
    ct = import_converter()
    return {
        "minimum_deployment_target": ct.target.iOS18,
        "compute_precision": ct.precision.FLOAT32,
    }


def _describe(description: Any, program: ExportedProgram) -> None:
    """Writes down what the network's own types were, where Core ML has others for them."""
    inputs = set(program.graph_signature.user_inputs)
    nodes = list(program.graph.nodes)
    given = [node.meta["val"].dtype for node in nodes if node.name in inputs]
    outputs = [node.meta["val"].dtype for node in nodes[-1].args[0]]
    features = [*description.input, *description.output]
    for feature, dtype in zip(features, [*given, *outputs], strict=True):
        if dtype not in {torch.float32, torch.int32}:
            feature.shortDescription = str(dtype).removeprefix("torch.")
