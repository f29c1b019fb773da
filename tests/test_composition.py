"""Everything in one recipe: channels, low rank, masks, distillation, integers, and a file."""

import numpy as np
import pytest
import torch

import lilliput as lp
from lilliput.recipe import read, write
from lilliput.testing.nets import image_classifier, learned

TARGET = lp.get_target("onnxruntime-cpu")


@pytest.fixture(scope="module")
def taught():
    model, task = image_classifier()
    return learned(model, task), task


def passes(task: lp.Task, teacher: lp.Model) -> list[lp.Pass]:
    return [
        lp.PruneChannels(0.25),
        lp.FactorizeLayers(0.8, task=task),
        lp.PruneWeights(0.3),
        lp.Distill(task, teacher, epochs=1),
        lp.QuantizeStatic(TARGET.rules, task),
    ]


def test_all_of_it_runs_in_one_recipe(taught, tmp_path) -> None:
    model, task = taught
    small = lp.run(model, passes(task, model))
    artifact = lp.export(small, TARGET, tmp_path)
    assert artifact.size_bytes < lp.export(model, TARGET, tmp_path / "whole").size_bytes
    x = model.example_inputs[0]
    (ours,) = lp.load(artifact.path, "onnx")((x.numpy(),))
    with torch.no_grad():
        theirs = small.module(x).numpy()
    np.testing.assert_allclose(ours, theirs, atol=0.05 * np.abs(theirs).max())
    assert [step.stage for step in small.history] == [
        *("prune", "factorize", "sparsify", "train", "quantize")
    ]


def test_the_recipe_is_text(taught) -> None:
    model, task = taught
    recipe = passes(task, model)
    again = read(write(recipe), task, TARGET, model)
    assert write(again) == write(recipe)


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        ("PruneWeights", "FactorizeLayers", "the factors of a masked weight are dense"),
        ("QuantizeStatic", "FactorizeLayers", "factorized layers would lose their quantizers"),
        ("QuantizeStatic", "PruneWeights", "weights are integers already"),
        ("QuantizeStatic", "PruneChannels", "quantizers of another width"),
    ],
)
def test_an_order_that_cannot_work_names_both(taught, first: str, second: str, why: str) -> None:
    model, task = taught
    by_name = {type(pass_).__name__: pass_ for pass_ in passes(task, model)}
    with pytest.raises(lp.LilliputError, match=why) as error:
        lp.run(model, [by_name[first], by_name[second]])
    assert first in str(error.value)
    assert second in str(error.value)
