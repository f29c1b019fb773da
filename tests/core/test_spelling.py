import pytest

from lilliput.core.spelling import did_you_mean


@pytest.mark.parametrize(
    ("wrong", "known", "said"),
    [
        ("onx", ["onnx", "litert"], "did you mean 'onnx'?"),
        ("conv3", ["conv1", "conv2", "head"], "did you mean 'conv2' or 'conv1'?"),
        ("zip", {"onnx": 1, "litert": 2}, "known: onnx, litert"),
        ("zip", [], "known: none"),
        ("zip", [f"a{i}" for i in range(10)], "known: a0, a1, a2, a3, a4, a5, a6, a7, a8, a9"),
        (
            "zip",
            (f"a{i}" for i in range(12)),
            "known: a0, a1, a2, a3, a4, a5, a6, a7, a8, a9 and 2 more",
        ),
    ],
)
def test_names_the_nearest_or_those_there_are(wrong: str, known, said: str) -> None:
    assert did_you_mean(wrong, known) == said
