"""Arrays inside finished files, found by the file's own format."""

from lilliput.pack.files.onnx import onnx_pieces
from lilliput.pack.files.piece import Piece
from lilliput.pack.files.safetensors import safetensors_pieces
from lilliput.pack.files.tflite import tflite_pieces

__all__ = ["FINDERS", "Piece"]

FINDERS = {
    ".tflite": tflite_pieces,
    ".onnx": onnx_pieces,
    ".safetensors": safetensors_pieces,
}
"""By the end of the file's name: gives the arrays, or None where it cannot."""
