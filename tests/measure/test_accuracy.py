import dataclasses

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from lilliput.core import Accuracy, Task, TaskError
from lilliput.core.errors import MeasureError
from lilliput.measure import accuracy
from lilliput.measure.accuracy import difference, evaluate, interval_of
from lilliput.testing.nets import TINY_TASKS


def in_process(module):
    """Runs the network as a file would be run: arrays in, tensors out."""

    def predict(arrays):
        with torch.no_grad():
            return module(*(torch.from_numpy(array) for array in arrays))

    return predict


class MacroRecall:
    """Mean over classes, so no mean over examples."""

    higher_is_better = True

    def __init__(self, classes=4):
        self.classes = classes
        self.reset()

    def reset(self):
        self.right, self.all = torch.zeros(self.classes), torch.zeros(self.classes)

    def update(self, outputs, labels):
        for label, guess in zip(labels, outputs.argmax(1), strict=True):
            self.all[label] += 1
            self.right[label] += label == guess

    def compute(self):
        return (self.right / self.all.clamp(min=1)).mean()


class Worst:
    """Mean over examples of the largest error."""

    higher_is_better = False

    def __init__(self):
        self.reset()

    def reset(self):
        self.errors = []

    def update(self, outputs, labels):
        self.errors += (outputs - labels).abs().amax(1).tolist()

    def compute(self):
        return sum(self.errors) / len(self.errors)


class Counting(Accuracy):
    updates = 0

    def update(self, outputs, labels):
        Counting.updates += 1
        super().update(outputs, labels)


def classifier(batches, metric, outputs=4, seed=0):
    draw = torch.Generator().manual_seed(seed)
    data = [
        (torch.randn(n, 5, generator=draw), torch.randint(outputs, (n,), generator=draw))
        for n in batches
    ]
    torch.manual_seed(0)
    return nn.Linear(5, outputs), Task("t", data, data, nn.functional.cross_entropy, metric)


@pytest.mark.parametrize("name", TINY_TASKS)
def test_scores_are_the_users_metric_with_an_interval_around_it(name):
    model, task = TINY_TASKS[name]()
    scores = evaluate(task, "validation", in_process(model.module), name)
    metric = task.fresh_metric()
    with torch.no_grad():
        for inputs, labels in task.batches("validation"):
            metric.update(model.module(*inputs), labels)
    assert scores.value == pytest.approx(float(metric.compute()))
    found = interval_of(scores)
    assert found.low < scores.value < found.high


@pytest.mark.parametrize("name", TINY_TASKS)
def test_a_worse_network_has_a_positive_drop_whichever_way_is_better(name):
    model, task = TINY_TASKS[name]()
    right = evaluate(task, "validation", in_process(model.module), name)
    metric = task.fresh_metric()
    best = [labels for _, labels in task.batches("validation")]
    answers = iter(best)
    if isinstance(metric, Accuracy):
        classes = model.module(*model.example_inputs).shape[1]

        def oracle(_):
            return nn.functional.one_hot(next(answers), classes).float()
    else:

        def oracle(_):
            labels = next(answers)
            is_many = isinstance(labels, tuple)
            return tuple(t + 0.01 for t in labels) if is_many else labels + 0.01

    perfect = evaluate(task, "validation", oracle, name)
    drop, found = difference(right, perfect, task.higher_is_better)
    assert 0 < found.low < drop < found.high
    drop, found = difference(perfect, right, task.higher_is_better)
    assert found.low < drop < found.high < 0


def test_accuracy_is_known_for_each_example_without_asking_for_each():
    Counting.updates = 0
    module, task = classifier([100, 100, 37], Counting())
    scores = evaluate(task, "validation", in_process(module), "x")
    wanted = [
        (module(inputs[0]).argmax(1) == labels).numpy()
        for inputs, labels in task.batches("validation")
    ]
    np.testing.assert_array_equal(scores.values, np.concatenate(wanted))
    assert Counting.updates <= 6


def test_torchmetrics_accuracy_decomposes_and_its_macro_average_does_not():
    from torchmetrics.classification import MulticlassAccuracy

    for average, is_mean in (("micro", True), ("macro", False)):
        module, task = classifier([60, 60], MulticlassAccuracy(num_classes=4, average=average))
        scores = evaluate(task, "validation", in_process(module), "x")
        assert (scores.values is not None) == is_mean
        assert (scores.left_out is not None) != is_mean
        assert interval_of(scores).low < scores.value < interval_of(scores).high


def test_a_metric_of_no_known_formula_is_asked_example_by_example():
    draw = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 30, 5, generator=draw)
    task = Task("t", [(x, y)], [(x, y)], nn.functional.mse_loss, Worst())
    scores = evaluate(task, "validation", in_process(nn.Identity()), "x")
    np.testing.assert_allclose(scores.values, (x - y).abs().amax(1), rtol=1e-6)


def test_leaving_groups_out_is_recomputing_the_metric_without_them():
    module, task = classifier([7, 5, 8], MacroRecall())
    scores = evaluate(task, "validation", in_process(module), "x")
    assert scores.values is None
    outputs = torch.cat([module(inputs[0]) for inputs, _ in task.batches("validation")])
    labels = torch.cat([labels for _, labels in task.batches("validation")])
    wanted = []
    for index in range(20):  # at most 50 groups: here one for each example
        metric = MacroRecall()
        rest = torch.arange(20) != index
        metric.update(outputs[rest], labels[rest])
        wanted.append(float(metric.compute()))
    np.testing.assert_allclose(sorted(scores.left_out), sorted(wanted), rtol=1e-6)


def test_large_outputs_are_computed_again_rather_than_kept(monkeypatch):
    module, task = classifier([7, 5, 8], MacroRecall())
    kept = evaluate(task, "validation", in_process(module), "x")
    monkeypatch.setattr(accuracy, "_KEPT_BYTES", 100)
    again = evaluate(task, "validation", in_process(module), "x")
    np.testing.assert_array_equal(kept.left_out, again.left_out)


def test_paired_intervals_are_narrower_than_those_of_two_metrics():
    for metric in (Accuracy(), MacroRecall()):
        module, task = classifier([250, 250], metric)
        first = evaluate(task, "validation", in_process(module), "x")
        with torch.no_grad():
            module.weight[0] += 0.05
        second = evaluate(task, "validation", in_process(module), "x")
        _, found = difference(second, first, True)
        alone = interval_of(first)
        assert found.high - found.low < 0.7 * (alone.high - alone.low)


def test_scores_that_tie_as_those_of_integers_do_are_known_for_each_example():
    draw = torch.Generator().manual_seed(0)
    rows = [torch.randn(50, 10, generator=draw)]  # no two are equal here
    rows += [torch.randint(-2, 2, (50, 10), generator=draw).float() for _ in range(2)]
    data = [(x, torch.arange(50) % 10) for x in rows]
    task = Task("ties", data, data, nn.functional.cross_entropy, Counting())
    Counting.updates = 0
    scores = evaluate(task, "validation", in_process(nn.Identity()), "x")
    # NumPy's argmax takes the first of equal ones, as PyTorch's does
    wanted = [x.numpy().argmax(1) == y.numpy() for x, y in data]
    np.testing.assert_array_equal(scores.values, np.concatenate(wanted))
    assert Counting.updates == 6  # the whole and each batch: no example alone


@pytest.mark.parametrize("kept_bytes", [1 << 28, 100])
def test_where_a_formula_fails_late_the_metric_is_asked_example_by_example(kept_bytes, monkeypatch):
    """In the first batches all errors of an example are equal: their mean is their largest."""
    monkeypatch.setattr(accuracy, "_KEPT_BYTES", kept_bytes)
    draw = torch.Generator().manual_seed(0)
    even = [(torch.randn(9, 1, generator=draw).expand(9, 5), torch.zeros(9, 5)) for _ in range(2)]
    data = [*even, (torch.randn(7, 5, generator=draw), torch.zeros(7, 5))]
    task = Task("late", data, data, nn.functional.mse_loss, Worst())
    scores = evaluate(task, "validation", in_process(nn.Identity()), "x")
    wanted = torch.cat([x.abs().amax(1) for x, _ in data])
    np.testing.assert_allclose(scores.values, wanted, rtol=1e-6)
    assert scores.left_out is None


def test_a_loader_of_unknown_length_is_scored():
    _, task = classifier([6, 4], Accuracy())

    class Stream(IterableDataset):
        def __iter__(self):
            return iter(task.validation)

    stream = DataLoader(Stream(), batch_size=None)
    streamed = dataclasses.replace(task, validation=stream)
    predict = in_process(nn.Linear(5, 4))
    found = [evaluate(each, "validation", predict, "x") for each in (task, streamed)]
    assert found[0].value == found[1].value
    assert found[1].samples == 10


def test_other_data_than_the_references_are_refused():
    module, task = classifier([20], Accuracy())
    _, other = classifier([20], Accuracy(), seed=1)
    first = evaluate(task, "validation", in_process(module), "x")
    second = evaluate(other, "validation", in_process(module), "x")
    with pytest.raises(MeasureError, match="do not shuffle"):
        difference(second, first, True)


class Raising(Accuracy):
    def update(self, outputs, labels):
        raise KeyError("weird")


class Listing(Accuracy):
    def compute(self):
        return [0.5, 0.5]


class Empty(Accuracy):
    def compute(self):
        return float("nan")


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        (Raising(), r"'t': Raising\.update.*KeyError: 'weird'"),
        (Listing(), r"must give one number, got \[0\.5"),
        (Empty(), "is nan"),
    ],
)
def test_a_metric_that_cannot_be_used_is_named(metric, said):
    module, task = classifier([20], metric)
    with pytest.raises(TaskError, match=said):
        evaluate(task, "validation", in_process(module), "x")


def test_a_label_out_of_range_is_named():
    module, task = classifier([20], Accuracy(), outputs=4)
    (inputs, labels), *_ = task.validation
    bad = dataclasses.replace(task, validation=[(inputs, labels + 3)])
    with pytest.raises(TaskError, match="a label is 6, but the network has 4 classes"):
        evaluate(bad, "validation", in_process(module), "x")
