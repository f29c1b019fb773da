"""AI Edge Quantizer on a float LiteRT file; `quantize_peers.py` runs it where it is installed.

python benchmarks/peers_aeq.py FLOAT.tflite CALIBRATION.npy OUTPUT.tflite
"""

import sys
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from ai_edge_quantizer import calibrator, qtyping, quantizer, recipe
from ai_edge_quantizer.utils import qsv_utils

__all__ = ["main"]


def main(source: str, images: str, path: str) -> None:
    """Static int8, with the ranges of all images.

    Its own `calibrate` takes a moving mean of ranges, which clips: the fair peer keeps the widest.
    """
    signatures = Interpreter(source).get_signature_list()
    name, details = next(iter(signatures.items()))
    data = {name: [{details["inputs"][0]: image[None]} for image in np.load(images)]}
    peer = quantizer.Quantizer(source)
    peer.load_quantization_recipe(recipe.static_wi8_ai8())
    watching = calibrator.Calibrator(source, qsv_update_func=qsv_utils.min_max_update)
    watching.calibrate(data, peer._recipe_manager)  # noqa: SLF001
    found: dict[str, qtyping.QSV] = watching.get_model_qsvs()
    Path(path).write_bytes(peer.quantize(found).quantized_model)


if __name__ == "__main__":
    main(*sys.argv[1:])
