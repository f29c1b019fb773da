"""What the remedies try, in which order, and what recipes come of it."""

from itertools import chain

from lilliput.core import Task
from lilliput.search.clinic.remedies import REMEDIES, Case
from lilliput.search.clinic.treatment import Treatment
from lilliput.search.space import OBSERVERS
from lilliput.targets import get_target
from lilliput.testing.nets import image_classifier
from lilliput.train import Distill

RULES = get_target("onnxruntime-cpu").rules
LAYERS = ("head", "conv1", "stem.0", "depthwise")


def options(treatment: Treatment, training: Distill | None = None) -> dict[str, list[Treatment]]:
    case = Case(lambda _: LAYERS, training)
    return {remedy.name: list(remedy.options(treatment, case)) for remedy in REMEDIES}


def task() -> Task:
    return image_classifier()[1]


def names(recipe) -> list[str]:
    return [type(pass_).__name__ for pass_ in recipe.passes(RULES)]


def test_they_come_in_order_of_their_price() -> None:
    given = list(options(Treatment(task())))
    order = ["better rounding", "better ranges", "keep the worst higher", "train"]
    assert [name for name in given if name in order] == order


def test_every_observer_but_the_present_one_is_tried() -> None:
    tried = options(Treatment(task(), observer="mse"))["better ranges"]
    assert {t.observer for t in tried} == set(OBSERVERS) - {"mse"}


def test_the_worst_layers_get_eight_bits_and_of_eight_bits_stay_float() -> None:
    keep = "keep the worst higher"
    raised = options(Treatment(task(), bits=4))[keep]
    assert [dict(t.raised) for t in raised] == [{"head": 8}, {"head": 8, "conv1": 8}]
    kept = options(Treatment(task()))[keep]
    assert [t.floats for t in kept] == [("head",), ("head", "conv1")]
    precision = raised[1].passes(RULES)[0].precision
    assert precision.weight("conv1", RULES.weight).bits == 8
    assert precision.weight("depthwise", RULES.weight).bits == 4


def test_training_comes_from_the_float_weights_and_only_where_it_may() -> None:
    model, data = image_classifier()
    rounded = options(Treatment(data))["better rounding"][0]
    assert names(rounded) == ["QuantizeStatic", "RoundSecondOrder"]
    assert options(rounded)["train"] == []
    trained = options(rounded, Distill(data, model, epochs=2))["train"][0]
    assert names(trained) == ["QuantizeAware", "Distill"]
    assert trained.name == "int8-minmax-qat2"


def test_a_rounding_that_is_in_is_not_tried_again() -> None:
    rounded = options(Treatment(task()))["better rounding"][0]
    assert not any(t.name == rounded.name for t in options(rounded)["better rounding"])


def test_different_recipes_have_different_names() -> None:
    start = Treatment(task(), bits=4)
    every = list(chain(*options(start).values()))
    every += chain(*options(every[0]).values())
    made = {t.name for t in every}
    assert len(made) == len({str(t.passes(RULES)) for t in every})
    assert start.name not in made
