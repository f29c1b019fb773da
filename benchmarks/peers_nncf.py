"""NNCF's `quantize` on a float ONNX file; `peers.py` runs it where NNCF is installed.

python benchmarks/peers_nncf.py FLOAT.onnx CALIBRATION.npy OUTPUT.onnx
"""

import sys

import nncf
import numpy as np
import onnx


def main(source: str, images: str, path: str) -> None:
    """Default preset, statistics of all images."""
    model = onnx.load(source)
    name = model.graph.input[0].name
    batches = [{name: image[None]} for image in np.load(images)]
    dataset = nncf.Dataset(batches)
    onnx.save(nncf.quantize(model, dataset, subset_size=len(batches)), path)


if __name__ == "__main__":
    main(*sys.argv[1:])
