"""What is of the wrong kind is refused with what would do."""

import re
import subprocess
import sys

import pytest

from lilliput.core.settings import check_kind, check_names

WRONG = {
    'PruneChannels(0.5, "l1")': "importance must be an object such as Magnitude(), got 'l1' (str)",
    "PruneChannels(0.5, lp.Magnitude)": "got the class Magnitude",
    'PruneChannels("0.5")': "ratio must be an object such as 0.5, got '0.5'",
    'PruneChannels({"a": 1.5})': "ratio of 'a' must be at least 0 and below 1, got 1.5",
    'PruneChannels(keep="stem")': "keep must be a tuple of names, got the text 'stem'",
    'PruneHeads(keep="stem")': "keep must be a tuple of names",
    'PruneWeights(0.5, "2:4")': "pattern must be an object such as NOfM(2, 4), got '2:4'",
    'PruneWeights(0.5, allotment="erk")': "allotment must be an object such as PerLayer()",
    'FactorizeLayers(0.5, "svd")': "kind must be an object such as Svd(), got 'svd'",
    "FactorizeLayers(0.5, lp.Svd)": "got the class Svd",
    'FactorizeLayers(0.5, layers="mid.0")': "layers must be a tuple of names",
    'SeparateConvolutions("mid.0")': "layers must be a tuple of names",
    'ShrinkKernels(1, "mid.0")': "layers must be a tuple of names",
    'DilateInstead("mid.0")': "layers must be a tuple of names",
    'PoolFirst("mid.0")': "layers must be a tuple of names",
    'NarrowToLatency(None, "onnxruntime-cpu", 0.5)': "target must be an object such as get_target(",
}


def test_passes_refuse_settings_of_the_wrong_kind():
    """In a process where no types are checked but ours."""
    calls = "".join(f"try: lp.{call}\nexcept Exception as e: print(e)\n" for call in WRONG)
    program = f"import lilliput as lp\n{calls}"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    for line, text in zip(done.stdout.splitlines(), WRONG.values(), strict=True):
        assert text in line


def test_a_class_where_an_object_is_meant():
    with pytest.raises(
        TypeError, match=re.escape("n must be an object such as 3, got the class int")
    ):
        check_kind("n", int, int, "3")


def test_what_is_right_passes():
    check_names("layers", ("a", "b"))
    check_kind("n", 4, int, "3")
