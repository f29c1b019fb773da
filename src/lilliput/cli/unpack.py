"""`lilliput unpack`: the file that was packed, or a packed model as safetensors."""

from lilliput.cli.options import Json, MostBytes, Out, PackedFile
from lilliput.cli.output import answering

__all__ = ["unpack"]


def unpack(
    file: PackedFile,
    out: Out = None,
    most_bytes: MostBytes = None,
    as_json: Json = False,
) -> None:
    """Give back what was packed: the same bytes, or a model's tensors as .safetensors."""
    with answering(as_json) as answer:
        from lilliput.core.amounts import bytes_text
        from lilliput.pack import Packed, unpack as run, unpack_model

        packed = Packed.open(file, None if most_bytes is None else int(most_bytes))
        give = run if packed.contents.kind == "file" else unpack_model
        written = give(packed, out)
        size = written.stat().st_size
        answer.give(
            {"path": str(written), "kind": packed.contents.kind, "size_bytes": size},
            str(written),
            bytes_text(size),
        )
