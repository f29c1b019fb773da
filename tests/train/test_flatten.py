import json

import pytest
import torch
from hypothesis import given, strategies as some

from lilliput.train.flatten import flatten, unflatten

leaves = (
    some.none()
    | some.booleans()
    | some.integers()
    | some.floats(allow_nan=False)
    | some.text()
    | some.builds(torch.tensor, some.lists(some.floats(width=32, allow_nan=False)))
)
trees = some.recursive(
    leaves,
    lambda inner: (
        some.lists(inner, max_size=3)
        | some.lists(inner, max_size=3).map(tuple)
        | some.dictionaries(some.integers() | some.text(), inner, max_size=3)
    ),
)


def same(a, b) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


@given(trees)
def test_comes_back_the_same_through_json(tree) -> None:
    tensors: dict[str, torch.Tensor] = {}
    text = json.dumps(flatten(tree, tensors, "t"))
    assert same(unflatten(json.loads(text), tensors), tree)


def test_names_what_it_cannot_hold() -> None:
    with pytest.raises(TypeError, match=r"t\.a\.0 is a set, which a checkpoint cannot hold"):
        flatten({"a": [{1}]}, {}, "t")
