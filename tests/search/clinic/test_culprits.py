"""Who is named, and whether what is said of them is so."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from tests.search.broken import BAD, per_tensor, with_outlier
from torch.nn import functional

from lilliput.core import Model, PassError, Task, UnsupportedError, run
from lilliput.measure.intervals import paired
from lilliput.quantize import QuantizeStatic, quantizers
from lilliput.quantize.placing.sites import sites
from lilliput.search.clinic.culprits import Found, suspects
from lilliput.testing import TINY_TASKS

SAMPLES = 48


@cache
def broken() -> tuple[Model, Task]:
    model, task = with_outlier()
    return run(model, [QuantizeStatic(per_tensor().rules, task)]), task


@cache
def found() -> Found:
    return suspects(*broken(), samples=SAMPLES)


def outputs(acting: frozenset[str] | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """What the network says of the first examples with these quantizers on, and the labels."""
    model, task = broken()
    copy = model.clone().module.eval()
    for name, quantizer in quantizers(copy).items():
        quantizer.is_enabled = acting is None or name in acting
    batches = task.first("validation", SAMPLES)
    with torch.no_grad():
        y = torch.cat([copy(*inputs) for inputs, _ in batches])[:SAMPLES]
    return y, torch.cat([labels for _, labels in batches])[:SAMPLES]


def test_the_layer_with_an_outlier_is_named_first() -> None:
    first, second = found().suspects[:2]
    assert first.site.name == BAD
    assert first.rank > 10 * second.rank
    assert first.effects["weights"].divergence > 100 * first.effects["reads"].divergence
    assert first.effects["restored"].divergence > 0.9 * found().whole.divergence


@pytest.mark.parametrize("kind", ["alone", "weights", "reads", "restored"])
def test_every_claim_is_what_brute_force_gives(kind: str) -> None:
    model, _ = broken()
    every = frozenset(quantizers(model.module))
    plain, labels = outputs(frozenset())
    whole, _ = outputs()
    right = (plain.argmax(1) == labels).double().numpy()
    right_whole = (whole.argmax(1) == labels).double().numpy()
    effects = {suspect.site.name: suspect.effects for suspect in found().suspects}
    for site in sites(model.module):
        if kind not in effects[site.name]:
            assert not site.is_layer
            continue
        named = {"weights": site.weights, "reads": site.reads}.get(kind, site.weights | site.reads)
        y, _ = outputs(every - named if kind == "restored" else named)
        right_now = (y.argmax(1) == labels).double().numpy()
        pair = (right_now, right_whole) if kind == "restored" else (right, right_now)
        effect = effects[site.name][kind]
        assert effect.drop.value == pytest.approx(float(np.mean(pair[0] - pair[1])))
        ends = paired(*pair)
        assert ends is not None
        assert (effect.drop.low, effect.drop.high) == pytest.approx((ends.low, ends.high))
        expected = kl(plain, whole) - kl(plain, y) if kind == "restored" else kl(plain, y)
        assert effect.divergence == pytest.approx(expected, rel=1e-4, abs=1e-9)


def kl(plain: torch.Tensor, other: torch.Tensor) -> float:
    logs = [functional.log_softmax(y.double(), 1) for y in (other, plain)]
    return float(functional.kl_div(*logs, reduction="batchmean", log_target=True))


def test_everything_is_labelled_as_simulated() -> None:
    drops = [e.drop for suspect in found().suspects for e in suspect.effects.values()]
    assert {(drop.method, drop.samples) for drop in drops} == {("simulated", SAMPLES)}


@pytest.mark.parametrize("name", ["image_to_image", "two_output_regressor"])
def test_other_networks_have_a_relative_squared_error(name: str) -> None:
    model, task = TINY_TASKS[name]()
    quantized = run(model, [QuantizeStatic(per_tensor().rules, task)])
    made = suspects(quantized, task, samples=32)
    assert made.divergence == "relative squared error"
    inputs, _ = next(task.batches("validation"))
    with torch.no_grad():
        plain, rounded = model.module(*inputs), quantized.module(*inputs)
    pairs = (
        list(zip(plain, rounded, strict=True)) if isinstance(plain, tuple) else [(plain, rounded)]
    )
    shares = [float((x - y).square().sum() / x.square().sum()) for x, y in pairs]
    assert made.whole.divergence == pytest.approx(sum(shares) / len(shares), rel=1e-3)
    assert made.whole.drop.low is not None


def test_only_the_layers_asked_for_are_looked_at() -> None:
    model, task = broken()
    few = suspects(model, task, samples=16, only=("head", "con*"), kinds=("alone",))
    assert {suspect.site.name for suspect in few.suspects} >= {"head", "conv1"}
    assert "depthwise" not in {suspect.site.name for suspect in few.suspects}


def test_a_name_that_matches_nothing_gives_the_nearest() -> None:
    model, task = broken()
    with pytest.raises(UnsupportedError, match="called 'depthwize'; did you mean 'depthwise'"):
        suspects(model, task, only=("depthwize",))


def test_a_network_without_quantizers_is_refused() -> None:
    model, task = with_outlier()
    plain = replace(broken()[0].clone(), history=())
    for quantizer in quantizers(plain.module).values():
        quantizer.is_enabled = False
    with pytest.raises(PassError, match="QuantizeStatic comes before"):
        suspects(plain, task)
    del model
