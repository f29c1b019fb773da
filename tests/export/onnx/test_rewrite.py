from collections import Counter

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest

from lilliput.export.onnx.rewrite import rewrite

HEAD = '<ir_version: 10, opset_import: ["" : 20]> g (float[2,8,6,6] x) => (float[{out}] y) <{init}>'
GRID = "float s = {0.05}, uint8 z = {7}, float t = {0.03}, uint8 o = {0}"
SLICES = "int64[1] a = {0}, int64[1] b = {100}, int64[1] h = {2}, int64[1] w = {3}"


def both(body: str, out: str, init: str = "") -> tuple[Counter[str], np.ndarray, np.ndarray]:
    """What is left of a graph, and the outputs before and after."""
    head = HEAD.format(out=out, init=", ".join(filter(None, [GRID, init])))
    proto = onnx.parser.parse_model(head + "{" + body + "}")
    onnx.checker.check_model(proto, full_check=True)
    model = ir.from_proto(proto)
    rewrite(model.graph)
    after = ir.to_proto(model)
    onnx.checker.check_model(after, full_check=True)
    x = np.random.default_rng(0).normal(size=(2, 8, 6, 6)).astype(np.float32)
    outputs = []
    for file in (proto, after):
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = ort.InferenceSession(file.SerializeToString(), options)
        outputs.append(session.run(None, {"x": x})[0])
    return Counter(node.op_type for node in after.graph.node), *outputs


def test_data_is_moved_as_integers_and_slices_are_one() -> None:
    body = """
        q = QuantizeLinear(x, s, z)  d = DequantizeLinear(q, s, z)
        e = Slice(d, a, b, h, h)     f = QuantizeLinear(e, s, z)  i = DequantizeLinear(f, s, z)
        j = Slice(i, a, b, w, h)     k = QuantizeLinear(j, s, z)  l = DequantizeLinear(k, s, z)
        m = Pad(l, p)                n = QuantizeLinear(m, s, z)  y = DequantizeLinear(n, s, z)
    """
    pads = "int64[8] p = {0, 1, 0, 0, 0, 2, 0, 0}"
    counts, before, after = both(body, "2,11,3,3", f"{SLICES}, {pads}")
    assert counts == {"QuantizeLinear": 1, "Slice": 1, "Pad": 1, "DequantizeLinear": 1}
    np.testing.assert_array_equal(before, after)


def test_slices_of_one_axis_stay_apart() -> None:
    body = "e = Slice(x, a, b, h, h)  y = Slice(e, a, b, h, h)"
    counts, before, after = both(body, "2,8,2,6", SLICES)
    assert counts == {"Slice": 2}
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("point", ["t, z", "s, o"])
def test_data_that_changes_its_scale_is_not_moved_as_integers(point: str) -> None:
    body = f"""
        q = QuantizeLinear(x, s, z)  d = DequantizeLinear(q, s, z)
        e = Transpose<perm = [0, 2, 3, 1]>(d)
        f = QuantizeLinear(e, {point})  y = DequantizeLinear(f, {point})
    """
    counts, before, after = both(body, "2,6,6,8")
    assert counts["QuantizeLinear"] == 2
    np.testing.assert_array_equal(before, after)


def test_relu_goes_where_codes_start_at_zero() -> None:
    body = "r = Relu(x)  q = QuantizeLinear(r, s, o)  y = DequantizeLinear(q, s, o)"
    counts, before, after = both(body, "2,8,6,6")
    assert not counts["Relu"]
    np.testing.assert_array_equal(before, after)


def test_relu_stays_where_codes_reach_below_zero() -> None:
    body = "r = Relu(x)  q = QuantizeLinear(r, s, z)  y = DequantizeLinear(q, s, z)"
    counts, before, after = both(body, "2,8,6,6")
    assert counts["Relu"] == 1
    np.testing.assert_array_equal(before, after)


def test_relu_stays_where_others_read_it() -> None:
    body = """
        r = Relu(x)  q = QuantizeLinear(r, s, o)  d = DequantizeLinear(q, s, o)  y = Add(r, d)
    """
    counts, before, after = both(body, "2,8,6,6")
    assert counts["Relu"] == 1
    np.testing.assert_array_equal(before, after)


def test_quantizing_again_to_the_same_scale_goes() -> None:
    body = """
        q = QuantizeLinear(x, s, z)  d = DequantizeLinear(q, s, z)
        e = QuantizeLinear(d, s, z)  y = DequantizeLinear(e, s, z)
    """
    counts, before, after = both(body, "2,8,6,6")
    assert counts["QuantizeLinear"] == 1
    np.testing.assert_array_equal(before, after)


def test_a_last_layer_gets_an_integer_bias_within_half_a_step() -> None:
    body = """
        e = Flatten(x)  q = QuantizeLinear(e, s, z)  d = DequantizeLinear(q, s, z)
        v = DequantizeLinear<axis = 0>(c, u, k)  y = Gemm<transB = 1>(d, v, i)
    """
    codes = np.random.default_rng(1).integers(-127, 128, (2, 288))
    rows = ", ".join(map(str, codes.ravel()))
    init = f"int8[2, 288] c = {{{rows}}}, float[2] u = {{0.01, 0.02}}, int8[2] k = {{0, 0}}"
    counts, before, after = both(body, "2,2", init + ", float[2] i = {0.123456, -7.654321}")
    assert counts["DequantizeLinear"] == 3
    half_a_step = 0.05 * np.array([0.01, 0.02]) / 2
    assert (np.abs(before - after).max(0) <= half_a_step + 1e-5 * np.abs(before).max()).all()


@pytest.mark.parametrize("scales", ["0.01", "0.01, 0.02, 0.03"])
def test_weights_of_products_lie_as_they_are_read(scales: str) -> None:
    count = scales.count(",") + 1
    body = f"""
        q = QuantizeLinear(x, s, z)  d = DequantizeLinear(q, s, z)
        v = DequantizeLinear<axis = 0>(c, u{", k" if count == 1 else ""})
        w = Transpose<perm = [1, 0]>(v)  y = MatMul(d, w)
    """
    codes = np.random.default_rng(1).integers(-127, 128, (3, 6))
    rows = ", ".join(map(str, codes.ravel()))
    shape = f"[{count}]" if count > 1 else ""
    init = f"int8[3, 6] c = {{{rows}}}, float{shape} u = {{{scales}}}, int8 k = {{0}}"
    _, before, after = both(body, "2,8,6,3", init)
    np.testing.assert_array_equal(before, after)


def test_pools_that_reach_over_the_end_count_what_is_there() -> None:
    body = """
        y = AveragePool <kernel_shape = [3, 3], strides = [2, 2], ceil_mode = 1,
            count_include_pad = 1> (x)
    """
    counts, before, after = both(body, "2,8,3,3")
    assert counts == {"AveragePool": 1}
    np.testing.assert_allclose(before, after, rtol=1e-6)
