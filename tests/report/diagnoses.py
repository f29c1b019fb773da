"""A diagnosis made up for tests, from no run."""

from lilliput.core import Measurement
from lilliput.quantize.beside.signals import Signal, Spread, WeightRange
from lilliput.search.clinic.diagnosis import Culprit, Diagnosis, Tried


def drop(value, low=None, high=None, method="measured"):
    return Measurement("drop", value, "Accuracy", method, "here", 128, low, high)


def made_up(name="layer1.0.conv1"):
    """Two layers and a tensor; two remedies, of which the second helped, and one that failed."""
    spread = Spread(0.001, 0.1, 0.2, 0.4, 5.0)
    told = drop(0.25, 0.1, 0.4, "simulated")
    bad = Culprit(
        name, "conv2d", told, 0.9, told, 0.8, told, 0.7, told, 0.2, 11.5,
        WeightRange(name, 5000.0, 0.4, spread), spread, spread, 0.004,
    )  # fmt: skip
    good = Culprit("head", "linear", drop(0.0), 1e-5, drop(0.0), 0.0, drop(0.0), 1e-5)
    between = Culprit("layer1.0 (add)", "", told, 0.01, told, 0.0)
    tried = (
        Tried("", "int8-minmax", "a", drop(0.3, 0.2, 0.4), None, True),
        Tried("better rounding", "int8-minmax-rounded", "b", drop(0.4), drop(-0.1)),
        Tried("better ranges", "int8-mse", reason="no such <operator>"),
        Tried("keep the worst higher", "int8-minmax-float1", "c", drop(0.004, -0.01, 0.02),
              drop(0.296, 0.2, 0.35), True, (name,)),
    )  # fmt: skip
    along = (Signal("input x", 50.0, spread), Signal(name, 11.5, spread), Signal("y", None, spread))
    return Diagnosis(
        "onnxruntime-cpu", 8, 0.01, "KL", 128, told, 1.0, (bad, between, good), along, tried,
        "int8-minmax-float1", "c", True,
    )  # fmt: skip
