import pytest
import torch

from lilliput.core import Accuracy, Metric


def test_counts_the_share_over_batches_of_different_sizes() -> None:
    metric = Accuracy()
    metric.update(torch.eye(3), torch.tensor([0, 1, 0]))
    metric.update(torch.eye(3)[:1], torch.tensor([0]))
    assert float(metric.compute()) == 0.75


def test_counts_pixels_of_segmentations() -> None:
    outputs = torch.zeros(2, 3, 4, 4)
    outputs[:, 1] = 1
    metric = Accuracy()
    metric.update(outputs, torch.ones(2, 4, 4, dtype=torch.int64))
    assert float(metric.compute()) == 1


def test_is_a_metric_that_starts_anew() -> None:
    metric = Accuracy()
    assert isinstance(metric, Metric)
    metric.update(torch.eye(2), torch.tensor([1, 0]))
    metric.reset()
    metric.update(torch.eye(2), torch.tensor([0, 1]))
    assert float(metric.compute()) == 1


@pytest.mark.parametrize("label", [-1, 3])
def test_refuses_a_label_that_names_no_class(label: int) -> None:
    with pytest.raises(ValueError, match=rf"0 to 2 for 3 classes, got .*{label}"):
        Accuracy().update(torch.eye(3), torch.tensor([1, 1, label]))


def test_refuses_labels_of_another_shape() -> None:
    with pytest.raises(ValueError, match=r"got labels \(3, 1\) for outputs \(3, 3\)"):
        Accuracy().update(torch.eye(3), torch.zeros(3, 1, dtype=torch.int64))


def test_refuses_to_judge_nothing() -> None:
    with pytest.raises(ValueError, match="no examples"):
        Accuracy().compute()
