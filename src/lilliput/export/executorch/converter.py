"""ExecuTorch's lowering to XNNPACK, where it is installed."""

from torch import fx
from torch.export import ExportedProgram

from lilliput.core import ExportError, MissingExtraError
from lilliput.export.quiet import quiet

__all__ = ["convert", "import_affine_operators"]


def convert(program: ExportedProgram) -> bytes:
    """The file of a program: what XNNPACK has goes to it, the rest to portable kernels.

    Raises:
        MissingExtraError: ExecuTorch is not installed.
        ExportError: XNNPACK does not take an operator whose weight is codes.
    """
    with quiet():
        try:
            from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
            from executorch.backends.xnnpack.utils.configs import get_xnnpack_edge_compile_config
            from executorch.exir import to_edge_transform_and_lower
        except ImportError as error:
            raise _missing(error) from error
        edge = to_edge_transform_and_lower(
            program,
            partitioner=[XnnpackPartitioner()],
            compile_config=get_xnnpack_edge_compile_config(),
        )
        _check_weights(edge.exported_program().graph)
        return bytes(edge.to_executorch().buffer)


def _check_weights(graph: fx.Graph) -> None:
    """What is left of weights' codes outside XNNPACK would be made floats at each run."""
    for node in graph.nodes:
        if node.op == "call_function" and "dequantize_per_channel" in str(node.target):
            layer = str(node.all_input_nodes[0].target).removeprefix("b_").strip("_")
            raise ExportError(
                f"XNNPACK does not run what reads the codes {layer!r} in integers; leave that "
                "layer float"
            )


def import_affine_operators() -> None:
    """Registers `torch.ops.torchao.quantize_affine` and its like.

    Raises:
        MissingExtraError: torchao is not installed.
    """
    with quiet():
        try:
            # the registration of the operators is this import's only effect
            from torchao.quantization import quant_primitives  # noqa: F401
        except ImportError as error:
            raise _missing(error) from error


def _missing(error: ImportError) -> MissingExtraError:
    return MissingExtraError(
        f"exporting to ExecuTorch needs executorch and torchao ({error}); "
        "pip install 'lilliput[executorch]'"
    )
