from pathlib import Path

import pytest

from lilliput.core import RecipeError, Target, Task
from lilliput.prune import Magnitude, PruneChannels, Taylor
from lilliput.quantize import MinMax, Percentile, Precision, QuantizeStatic, RoundSecondOrder
from lilliput.recipe import known_passes, read, recipe_hash, resumable, shipped, text_of, write
from lilliput.search import NarrowToLatency
from lilliput.targets import get_target
from lilliput.testing.nets import image_classifier
from lilliput.train import FineTune


@pytest.fixture
def task() -> Task:
    return image_classifier()[1]


@pytest.fixture
def target() -> Target:
    return get_target("onnxruntime-cpu")


def test_what_is_written_reads_back_equal(task: Task, target: Target) -> None:
    passes = [
        PruneChannels({"conv.1": 0.25}, importance=Taylor(task, samples=64)),
        PruneChannels(0.5, importance=Magnitude(), multiple_of=4),
        FineTune(task, epochs=3, learning_rate=1e-3),
        QuantizeStatic(target.rules, task, observer=Percentile(99.9)),
    ]
    assert read(write(passes), task, target) == tuple(passes)


def test_bits_by_layer_read_back_equal(task: Task, target: Target) -> None:
    precision = Precision({"*": 4, "layer1.*": 2}, {"fc": 4}, ("conv1",))
    passes = (
        QuantizeStatic(target.rules, task, precision=precision),
        RoundSecondOrder(task, samples=100),
    )
    again = read(write(passes), task, target)
    assert again == passes
    assert list(again[0].precision.weights) == ["*", "layer1.*"]


def test_a_target_is_given_where_it_is_read(task: Task, target: Target) -> None:
    passes = (NarrowToLatency(task, target, share=0.7, rounds=2, recover=FineTune(task, epochs=1)),)
    assert read(write(passes), task, target) == passes
    with pytest.raises(RecipeError, match="NarrowToLatency needs a target"):
        read(write(passes), task)


def test_the_hash_tells_settings_apart(task: Task) -> None:
    hashes = {recipe_hash([FineTune(task, epochs=n)]) for n in (1, 2, 2, 3)}
    assert len(hashes) == 3


def test_gives_what_the_text_leaves_out(task: Task, target: Target) -> None:
    (quantize,) = read('[[pass]]\nname = "QuantizeStatic"', task, target)
    assert quantize == QuantizeStatic(target.rules, task, observer=MinMax())


def test_lists_every_room() -> None:
    assert {"FuseBatchNorm", "PruneChannels", "Distill", "QuantizeAware"} <= set(known_passes())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[[pass]]\nname = "FineTuna"', "no pass is called 'FineTuna'; did you mean 'FineTune'"),
        ('[[pass]]\nname = "FineTune"\nepoch = 1', "no setting 'epoch'; did you mean 'epochs'"),
        ('[[pass]]\nname = "Distill"', "Distill needs a teacher"),
        ('[[pass]\nname = "FineTune"', "not valid TOML"),
        ('[pass]\nname = "FineTune"', "two brackets"),
        (
            '[[pass]]\nname = "PruneChannels"\nratio = 0.5\nimportance = { name = "Tailor" }',
            "no option is called 'Tailor'; did you mean 'Taylor'",
        ),
    ],
)
def test_says_what_is_wrong(text: str, message: str, task: Task) -> None:
    with pytest.raises(RecipeError, match=message):
        read(text, task)


def test_shipped_recipes_read_and_have_names(task: Task, tmp_path: Path) -> None:
    teacher = image_classifier()[0]
    assert {"deep-compression", "coded-training"} <= set(shipped())
    for name, text in shipped().items():
        assert read(text_of(name), task, teacher=teacher) == read(text, task, teacher=teacher)
    own = tmp_path / "own.toml"
    own.write_text('[[pass]]\nname = "FuseBatchNorm"\n')
    assert len(read(text_of(str(own)), task)) == 1
    with pytest.raises(RecipeError, match="did you mean 'coded-training'"):
        text_of("coded-trainin")


def test_training_is_given_a_place_and_the_recipe_stays_the_same(
    task: Task, tmp_path: Path
) -> None:
    passes = (PruneChannels(0.5), FineTune(task), FineTune(task, epochs=2))
    found = resumable(passes, tmp_path)
    assert found[0] == passes[0]
    assert [pass_.checkpoint for pass_ in found[1:]] == [tmp_path / "1", tmp_path / "2"]
    assert write(found) == write(passes)
