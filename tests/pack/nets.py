"""Small int8 files of pruned and of clustered networks, and what else shrinks them."""

import lzma
import shutil
import subprocess

import numpy as np

__all__ = ["clustered", "onnx_file", "others", "pruned", "tflite_file"]

SHAPES = ((32, 3, 3, 16), (64, 3, 3, 32), (10, 1024))


def pruned(share=0.8):
    """Int8 weights by layer, most of them zero, as magnitude pruning leaves them."""
    rng = np.random.default_rng(0)
    for shape in SHAPES:
        real = rng.normal(size=shape)
        real *= np.abs(real) > np.quantile(np.abs(real), share)
        yield quantized(real)


def clustered(colors=16):
    """Int8 weights by layer that take few values."""
    rng = np.random.default_rng(1)
    for shape in SHAPES:
        real = rng.normal(size=shape)
        centers = np.quantile(real, (np.arange(colors) + 0.5) / colors)
        yield quantized(centers[np.abs(real[..., None] - centers).argmin(-1)])


def quantized(real):
    return np.rint(real / np.abs(real).max() * 127).astype(np.int8)


def sides(weights):
    """Scales and biases of a layer's channels."""
    rng = np.random.default_rng(2)
    scales = rng.lognormal(-5, 0.4, len(weights)).astype(np.float32)
    biases = np.rint(rng.normal(size=len(weights)) * 3000).astype(np.int32)
    return scales, biases, (scales * np.float32(0.0173)).astype(np.float32)


def tflite_file(path, layers):
    """Layers side by side: what matters here are the constants."""
    from tests.export.c.nets import Net

    net = Net()
    for weights in layers:
        scales, biases, products = sides(weights)
        net.constant(weights, scales)
        net.constant(biases, products)
    given = net.given([1, 4])
    made = net.tensor([1, 4])
    net.add("RELU", [given], [made])
    return net.write(path, [made])


def onnx_file(path, layers):
    """Initializers of quantized layers with their scales."""
    import onnx
    from onnx import helper, numpy_helper

    tensors = []
    for place, weights in enumerate(layers):
        scales, biases, products = sides(weights)
        for kind, values in zip("wsbp", (weights, scales, biases, products), strict=True):
            tensors.append(numpy_helper.from_array(values, f"layer{place}.{kind}"))
    value = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    node = helper.make_node("Identity", ["x"], ["y"])
    out = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    graph = helper.make_graph([node], "net", [value], [out], initializer=tensors)
    onnx.save(helper.make_model(graph), path)
    return path


def others(path):
    """Bytes that `xz -9` and `zstd -19` make of a file, as far as they are there."""
    data = path.read_bytes()
    found = {"xz -9": len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))}
    zstd = shutil.which("zstd")
    if zstd:
        made = subprocess.run([zstd, "-19", "-c", str(path)], capture_output=True, check=True)
        found["zstd -19"] = len(made.stdout)
    return found
